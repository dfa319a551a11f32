import type { Config } from '../../configs/config.ts'
import { broken, find, warning, type Finding, type Judgement } from '../../configs/finding.ts'
import type { Tell } from '../../configs/tell.ts'
import { UserError } from '../../configs/user-error.ts'
import type { EventLog, Topic } from '../../datasets/log/event-log.ts'
import { columnEntities, type DatasetSchema } from '../../datasets/table/dataset.ts'
import type { EventBatch } from '../../datasets/table/transaction.ts'
import type { OnlineStore } from '../../features/store/online-store.ts'
import { instant } from '../console/output.ts'
import { openLog, openRegistry, openStore } from '../console/parts.ts'
import type { Check } from './check.ts'

/** What the champions find in history and log together. Silent where there is nothing to compare yet. */
export const STREAM: Record<string, Check> = {
  stream: async (config, { tell }) => {
    const champions = await orNone(() => championsOf(config))
    const found: Finding[] = []
    for (const champion of champions) found.push(...(await orNone(() => lookAt(config, tell, champion))))
    return found
  },
}

/** Of each partition, so many of its oldest records show when it begins. */
const OLDEST = 1_000
/** So many of the newest records are looked at, over all partitions. */
const NEWEST = 32_768

/** Which service a champion reads, and how it reads the log. */
interface Subject {
  service: string
  dataset: string
  schema: DatasetSchema
}

/** What the user can mend is told by the checks of the parts; this one is then silent. */
async function orNone<T>(look: () => Promise<T[]>): Promise<T[]> {
  try {
    return await look()
  } catch (error) {
    if (error instanceof UserError) return []
    throw error
  }
}

/** The champions of all models, those that read the log alike once. */
async function championsOf(config: Config): Promise<Subject[]> {
  const { readModelCard } = await import('../../registry/model-card.ts')
  await using registry = await openRegistry(config)
  const subjects = new Map<string, Subject>()
  for (const { name, aliases } of await registry.searchRegisteredModels()) {
    if (aliases['champion'] === undefined) continue
    const { service, dataset } = readModelCard(await registry.getModelVersion(name, aliases['champion']))
    const subject = { service: service.name, dataset: dataset.name, schema: dataset.schema }
    subjects.set(JSON.stringify([subject.service, subject.schema]), subject)
  }
  return [...subjects.values()]
}

async function lookAt(config: Config, tell: Tell, subject: Subject): Promise<Finding[]> {
  const { TRANSACTIONS } = await import('../../serving/topics.ts')
  await using log = await openLog(config, tell)
  await using store = await openStore(config, tell)
  const topic = await log.topic(TRANSACTIONS)
  return [
    await find('history', () => historyMeetsLog(config, log, store, topic, subject)),
    ...(topic.partitions > 1 ? [await find('keys', () => keysHaveOnePartition(config, log, topic, subject))] : []),
  ]
}

/**
 * Whether the log begins where history ends. A partition whose oldest records are gone says nothing once the group has
 * folded them.
 */
async function historyMeetsLog(
  { scorer }: Config,
  log: EventLog,
  store: OnlineStore,
  topic: Topic,
  { service, schema }: Subject,
): Promise<string | Judgement> {
  const { gapBetween, beginningOf } = await import('../../features/chain/seam.ts')
  const base = await store.base(service)
  if (base === undefined) return `no history of ${service} in the online store: windows begin with the log`
  let first = Infinity
  for (const [partition, { start, end }] of topic.offsets.entries()) {
    const place = { group: scorer.group, topic: topic.name, partition }
    if (start > 0 && (await store.group(service, place)).checkpoint !== undefined) continue
    const oldest = await decoded(log, topic.name, partition, start, Math.min(end, start + OLDEST), schema, scorer)
    for (const events of oldest) first = Math.min(first, beginningOf(events))
  }
  const gap = gapBetween(base.watermark, first)
  const ends = `the history of ${service} ends at ${instant(base.watermark)}`
  if (gap === undefined) return first === Infinity ? ends : `${ends}, ${topic.name} begins at ${instant(first)}`
  const dataset = base.history?.dataset ?? 'NAME'
  return warning(
    `${ends}, and ${topic.name} begins at ${instant(gap.to)}: windows lack what lies between. Bring it in: ` +
      `fd features backfill --dataset ${dataset} --data FILE --until ${new Date(gap.to).toISOString()} --online`,
  )
}

/** Whether each key of the log is in one partition, where fd's own producer would put it. */
async function keysHaveOnePartition(
  { scorer }: Config,
  log: EventLog,
  { name, partitions, offsets }: Topic,
  { schema }: Subject,
): Promise<string | Judgement> {
  const { partitionOf } = await import('../../datasets/log/murmur2.ts')
  const entity = columnEntities(schema).at(0)?.entity
  if (entity === undefined) return 'the records have no key that must stay in one partition'
  const homes = new Map<string, Set<number>>()
  for (const [partition, { start, end }] of offsets.entries()) {
    const from = Math.max(start, end - Math.ceil(NEWEST / partitions))
    for (const { entities, size } of await decoded(log, name, partition, from, end, schema, scorer)) {
      for (let row = 0; row < size; row++) {
        const key = String(entities[0][row])
        homes.set(key, (homes.get(key) ?? new Set()).add(partition))
      }
    }
  }
  const divided = [...homes].filter(([, found]) => found.size > 1)
  if (divided.length > 0) return broken(await dividedKeys(name, entity.column, divided))
  const strange = [...homes].filter(([key, found]) => !found.has(partitionOf(Buffer.from(key), partitions)))
  if (strange.length === 0) return `${homes.size} keys of the newest records, each in its partition`
  return warning(
    `${strange.length} of ${homes.size} keys (${entity.column}) are in another partition of ${name} than fd and ` +
      `Kafka's Java client choose: with two kinds of producers they would be in two. ${ONE_PARTITIONER}`,
  )
}

const ONE_PARTITIONER =
  'Let every producer use the card as record key, and murmur2 (in librdkafka: partitioner=murmur2_random).'

async function dividedKeys(topic: string, column: string, divided: [string, Set<number>][]): Promise<string> {
  const { isCardNumber, masked } = await import('../../datasets/file/shown-text.ts')
  const [[key, found]] = divided
  const shown = isCardNumber(key) ? masked(key) : key
  const others = divided.length === 1 ? '' : `, and ${divided.length - 1} other keys are in several`
  return (
    `${column} ${shown} is in partitions ${[...found].toSorted((a, b) => a - b).join(' and ')} of ${topic}${others}: ` +
    'no scorer sees all of its events, so its features are wrong. Producers choose partitions in different ways, or ' +
    `partitions were added. ${ONE_PARTITIONER} ` +
    'Then begin another log (FD_HOME, or ?prefix=NAME in the Kafka URL), and bring history back: ' +
    'fd features backfill --online'
  )
}

/** The events of records `from` to `to` (excluded) of a partition, those that are none left out. */
async function decoded(
  log: EventLog,
  topic: string,
  partition: number,
  from: number,
  to: number,
  schema: DatasetSchema,
  { maxAhead }: { maxAhead: number },
): Promise<EventBatch[]> {
  const [{ eventDecoder }, { sliceBatch }] = await Promise.all([
    import('../../datasets/log/event-json.ts'),
    import('../../datasets/log/record-batch.ts'),
  ])
  const found: EventBatch[] = []
  for await (const records of log.read(topic, partition, { from })) {
    const within = records.offsets.subarray(0, records.size).filter((offset) => offset < to).length
    // A decoder reuses its columns, so each batch gets one of its own.
    found.push(eventDecoder(schema, { maxAhead })(sliceBatch(records, 0, within)).events)
    if (within < records.size) break
  }
  return found
}
