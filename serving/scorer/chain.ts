import { UserError } from '../../configs/user-error.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import { planChain, type Stage } from '../../features/chain/chain.ts'
import { featureNames } from '../../features/view/view.ts'
import { TRANSACTIONS } from '../topics.ts'
import { passOn } from './batch.ts'
import { openStage, type OpenStage, type StageOptions } from './stage.ts'

export interface ChainOptions extends Omit<StageOptions, 'stage' | 'emit'> {
  /** Number of partitions with which `transactions` is created when it is missing. */
  partitions: number
  /** The outputs of a batch in the last stage, where all features are known. */
  finish: StageOptions['emit']
  /** Where stages before the last write dead letters. Default: `transactions.dlq`. */
  deadLetterTopic?: string
  /** All stages have joined. */
  onStart?: () => void
}

/**
 * Runs all stages of a service over `transactions`, side by side in this process. `planChain` says which stages there
 * are. Each stage is a member of a group of its own topic and has its share of that topic's partitions. A failure in
 * one stage ends all. With `endWhenIdle` a stage ends only after the one before it.
 *
 * @throws UserError as `openStage` does, and when the topics between stages are missing though the group has already
 * read `transactions`.
 */
export async function runChain(options: ChainOptions): Promise<void> {
  const { log, service, schema, group } = options
  const { partitions } = await log.createTopic(TRANSACTIONS, { partitions: options.partitions })
  const plan = planChain(service, schema, { name: TRANSACTIONS, partitions }, group)
  const failed = new AbortController()
  const signal = AbortSignal.any([options.signal, failed.signal])
  await using stack = new AsyncDisposableStack()
  const stages: OpenStage[] = []
  const ended = new Set<OpenStage>()
  for (const [n, stage] of plan.entries()) {
    const before = stages.at(-1)
    const next = plan.at(n + 1)
    const emit = next === undefined ? options.finish : passer(options, next)
    const endWhenIdle = (): boolean => options.endWhenIdle() && (before === undefined || ended.has(before))
    stages.push(stack.use(await openStage({ ...options, stage, emit, signal, endWhenIdle })))
    if (n === 0) await makeTopics(options, stages[0], plan.slice(1), partitions)
  }
  options.onStart?.()
  const run = async (stage: OpenStage): Promise<void> => {
    try {
      await stage.run()
      ended.add(stage)
      // The stages behind may go on for long. Meanwhile other processes can take this stage's partitions.
      await stage[Symbol.asyncDispose]()
    } catch (error) {
      if (!failed.signal.aborted) failed.abort(error)
    }
  }
  await Promise.all(stages.map(run))
  if (failed.signal.aborted) throw failed.signal.reason
}

/**
 * Passes batches on to the next stage. The topic between keeps the number of partitions it was created with, even when
 * partitions are added to `transactions` later.
 */
function passer(
  { log, service, schema, deadLetterTopic }: ChainOptions,
  { topic, entity }: Stage,
): StageOptions['emit'] {
  const width = featureNames(service).length
  const column = schema.entities.findIndex(({ name }) => name === entity)
  let partitions: number | undefined
  return async (folded) => {
    partitions ??= (await log.topic(topic)).partitions
    return passOn(folded, width, { topic, entity: column, partitions }, deadLetterTopic)
  }
}

async function missingTopics(log: EventLog, stages: readonly Stage[]): Promise<Stage[]> {
  if (stages.length === 0) return []
  const known = new Set((await log.topics()).map(({ name }) => name))
  return stages.filter(({ topic }) => !known.has(topic))
}

/**
 * Creates the missing topics between stages.
 *
 * @throws UserError when the group has already read `transactions` without them, by another definition of the service
 * or when there was one partition: the events it has committed would never reach the new topics.
 */
async function makeTopics(
  { log, group, service }: ChainOptions,
  { member }: OpenStage,
  stages: readonly Stage[],
  partitions: number,
): Promise<void> {
  // Looked for only now: a member that committed before this one joined had made them.
  const missing = await missingTopics(log, stages)
  const begun = [...member.committed].find(([, offset]) => offset > 0)
  if (missing.length > 0 && begun !== undefined) {
    const [partition, offset] = begun
    throw new UserError(
      `Group "${group}" has read "${TRANSACTIONS}" (partition ${partition} up to offset ${offset}) ` +
        `for another definition of service "${service.name}", or when there was one partition; ` +
        'its stages would lack those events. Score as another group: fd score --group NAME',
    )
  }
  for (const { topic } of missing) await log.createTopic(topic, { partitions })
}
