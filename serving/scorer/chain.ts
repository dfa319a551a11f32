import { UserError } from '../../configs/user-error.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import { planChain, type Stage } from '../../features/chain/chain.ts'
import { featureNames } from '../../features/view/view.ts'
import { TRANSACTIONS } from '../topics.ts'
import { passOn } from './batch.ts'
import { openStage, type OpenStage, type StageOptions } from './stage.ts'

export interface ChainOptions extends Omit<StageOptions, 'stage' | 'emit'> {
  /** Partitions of `transactions` when it is made. */
  partitions: number
  /** Outputs of a batch that has all features. */
  finish: StageOptions['emit']
  /** All stages have joined. */
  onStart?: () => void
}

/**
 * Runs all stages of a service over `transactions`, side by side in this process, each with a share of its own of its topic's
 * partitions (`planChain` says which stages there are). A failure in one ends all. With `endWhenIdle` a stage ends only
 * after the one before it.
 */
export async function runChain(options: ChainOptions): Promise<void> {
  const { log, service, schema, group } = options
  const { partitions } = await log.createTopic(TRANSACTIONS, { partitions: options.partitions })
  const plan = planChain(service, schema, { name: TRANSACTIONS, partitions }, group)
  const missing = await missingTopics(log, plan.slice(1))
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
    if (n === 0) await makeTopics(options, stages[0], missing, partitions)
  }
  options.onStart?.()
  const run = async (stage: OpenStage): Promise<void> => {
    try {
      await stage.run()
      ended.add(stage)
      // The stages behind may go on for long: meanwhile the partitions of this one are of use to others.
      await stage[Symbol.asyncDispose]()
    } catch (error) {
      if (!failed.signal.aborted) failed.abort(error)
    }
  }
  await Promise.all(stages.map(run))
  if (failed.signal.aborted) throw failed.signal.reason
}

/** Passes batches on to the next stage. Its topic keeps the partitions it was made with, whatever `transactions` is given later. */
function passer({ log, service, schema }: ChainOptions, { topic, entity }: Stage): StageOptions['emit'] {
  const width = featureNames(service).length
  const column = schema.entities.findIndex(({ name }) => name === entity)
  let partitions: number | undefined
  return async (folded) => {
    partitions ??= (await log.topic(topic)).partitions
    return passOn(folded, width, { topic, entity: column, partitions })
  }
}

async function missingTopics(log: EventLog, stages: readonly Stage[]): Promise<Stage[]> {
  if (stages.length === 0) return []
  const known = new Set((await log.topics()).map(({ name }) => name))
  return stages.filter(({ topic }) => !known.has(topic))
}

/**
 * Makes the topics between stages. A group that has read `transactions` before they were there has scored by another
 * definition of the service, or when there was one partition: events that it has committed would never come to them.
 */
async function makeTopics(
  { log, group, service }: ChainOptions,
  { member }: OpenStage,
  missing: readonly Stage[],
  partitions: number,
): Promise<void> {
  const begun = [...member.committed].find(([, offset]) => offset > 0)
  if (missing.length > 0 && begun !== undefined) {
    throw new UserError(
      `Group "${group}" has read "${TRANSACTIONS}" (partition ${begun[0]} up to offset ${begun[1]}) for another definition of service "${service.name}", or when there was one partition; ` +
        'its stages would lack those events. Score as another group: fd score --group NAME',
    )
  }
  for (const { topic } of missing) await log.createTopic(topic, { partitions })
}
