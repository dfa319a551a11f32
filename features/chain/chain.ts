import type { Topic } from '../../datasets/log/event-log.ts'
import { partitionOf } from '../../datasets/log/murmur2.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import type { GroupPartition } from '../store/online-store.ts'
import { serviceDigest, type FeatureService, type FeatureView } from '../view/view.ts'

/** One stage of a chain: the topic it reads and the views it folds. */
export interface Stage {
  topic: string
  /**
   * The entity whose key gives a record of the topic its partition. Absent in the first stage, whose topic producers
   * write.
   */
  entity?: string
  views: FeatureView[]
}

/**
 * Plans how the views of a service are computed over a log with partitions, so that each view sees all events of a key
 * in one order.
 *
 * In a single partition the events of every entity have an order, so one stage folds all views. In several, only the
 * events of the log's key (the schema's first entity) have one. Every other entity of the service then gets a stage
 * behind a topic of its own. The stage before passes each event on to that topic by the entity's key, as `keyBy` does
 * in Flink and a repartition topic in Kafka Streams. Derived features are computed in the last stage, where all others
 * are there.
 */
export function planChain(
  service: FeatureService,
  schema: DatasetSchema,
  input: Pick<Topic, 'name' | 'partitions'>,
  group: string,
): Stage[] {
  const entities = new Set(service.views.flatMap((view) => (view.kind === 'aggregate' ? [view.entity] : [])))
  const others = input.partitions === 1 ? [] : [...entities].filter((entity) => entity !== schema.entities[0]?.name)
  const stageOf = (view: FeatureView): number => {
    if (view.kind === 'derived') return others.length
    return view.kind === 'request' ? 0 : others.indexOf(view.entity) + 1
  }
  const viewsOf = (stage: number): FeatureView[] => service.views.filter((view) => stageOf(view) === stage)
  const behind = others.map((entity, i) => ({
    topic: stageTopic(input.name, group, entity, service),
    entity,
    views: viewsOf(i + 1),
  }))
  return [{ topic: input.name, views: viewsOf(0) }, ...behind]
}

/**
 * The fold of one partition of a stage.
 *
 * @param rememberIds for how long ids are remembered where no view holds every transaction. The first stage does that,
 * by the log's key: later ones get what it let pass.
 * @param from as in `ServiceFoldOptions`.
 */
export function stageFold(
  { entity, views }: Stage,
  service: FeatureService,
  schema: DatasetSchema,
  rememberIds: DurationMs = 0,
  from?: ServiceFold,
): ServiceFold {
  const remembered = entity === undefined ? rememberIds : 0
  return new ServiceFold(service, schema, { views, rememberIds: remembered, ...(from === undefined ? {} : { from }) })
}

/**
 * The name of the topic that an entity's stage reads; it has as many partitions as the input. Another definition of the
 * service has another topic.
 */
export function stageTopic(input: string, group: string, entity: string, service: FeatureService): string {
  return `${input}.${group}.${topicWord(entity)}.${serviceDigest(service).slice(0, 12)}`
}

/** An entity may have any name, and a topic may not: what it cannot have is written as its code point. */
function topicWord(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9._-]/gu, (character) => `.${character.codePointAt(0)?.toString(16)}.`)
}

/**
 * Where a group keeps the state of an entity's key: with the partition that the key's events come to. `topics` lists
 * the topics that exist.
 */
export function statePlace(
  topics: readonly Pick<Topic, 'name' | 'partitions'>[],
  input: string,
  group: string,
  service: FeatureService,
  entity: string,
  key: string,
): GroupPartition {
  const behind = stageTopic(input, group, entity, service)
  const found = topics.find(({ name }) => name === behind) ?? topics.find(({ name }) => name === input)
  if (found === undefined) return { group, topic: input, partition: 0 }
  return { group, topic: found.name, partition: partitionOf(Buffer.from(key), found.partitions) }
}
