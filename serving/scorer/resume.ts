import { UserError } from '../../configs/user-error.ts'
import { DAY, FRAUD_LABEL, HOUR, type EpochMs } from '../../datasets/table/transaction.ts'
import type { StageInput } from '../../features/chain/stage-record.ts'
import type { GroupState, OwnedState } from '../../features/store/online-store.ts'
import { serviceDigest, type FeatureService } from '../../features/view/view.ts'

/** @throws UserError when the state was backfilled with another definition of the service. */
export function checkDefinition({ base }: OwnedState, service: FeatureService): void {
  if (base.version === 0 || base.serviceDigest === serviceDigest(service)) return
  throw new UserError(
    `The online features of "${service.name}" were backfilled with another definition of it. ` +
      `Run: fd features backfill --dataset ${base.history?.dataset ?? 'NAME'} --online`,
  )
}

/**
 * Adding partitions moves keys to partitions that lack their history: every customer that moved would look new.
 *
 * @throws UserError when the topic has another number of partitions than when the state was written.
 */
export function checkPartitions(topic: string, { checkpoint }: GroupState, count: number): void {
  if (checkpoint?.partitions === undefined || checkpoint.partitions === count) return
  throw new UserError(
    `Topic "${topic}" has ${count} partitions, and had ${checkpoint.partitions} when this group wrote its state: ` +
      'keys have moved to partitions that lack their history. ' +
      'Begin another log (FD_HOME, or ?prefix=NAME in the Kafka URL) with that many from the start ' +
      '(scorer.partitions), and backfill what was: fd features backfill --online',
  )
}

/**
 * The offset at which to go on: that of the checkpoint, or without one the oldest of the log.
 *
 * @throws UserError when the log no longer has the records after the checkpoint.
 */
export function resumeAt(topic: string, partition: number, { checkpoint }: OwnedState, start: number): number {
  const offset = checkpoint?.offset ?? start
  if (offset >= start) return offset
  throw new UserError(
    `The state of this group has folded partition ${partition} of "${topic}" up to offset ${offset}, ` +
      `but the log now begins at ${start}: what lies between is lost to it. ` +
      'Backfill the history that covers it, then start the scorer again: fd features backfill --online',
  )
}

/** A time of which neither history nor log has a transaction. */
export interface HistoryGap {
  from: EpochMs
  to: EpochMs
}

/** So many transactions show where a log begins. */
const FIRST = 32

/**
 * A history must end where the log begins that was not scored yet. On one that goes on, a transaction would be scored
 * by windows that know what came after it, or that have let go of what came before. Looked at once, when a group first
 * folds on a base: most of the first transactions that it has not scored must lie within the allowed lateness of the
 * history's end, or after it. A few may come late.
 *
 * @param committed the first offset whose outputs are not written yet.
 * @returns what is missing, where the transactions begin more than a day after the history has ended.
 * @throws UserError with the backfill that ends where they begin.
 */
export function checkHistory(
  group: string,
  { base }: OwnedState,
  input: StageInput,
  committed: number,
): HistoryGap | undefined {
  const { history, watermark } = base
  if (history === undefined || input.earlier !== undefined) return undefined
  const { events, index } = input.decoded
  let [fresh, known, first] = [0, 0, Infinity]
  for (let row = 0; row < events.size && fresh < FIRST; row++) {
    if (events.kind[row] === FRAUD_LABEL || input.records.offsets[index[row]] < committed) continue
    fresh++
    first = Math.min(first, events.time[row])
    if (events.time[row] < watermark - HOUR) known++
  }
  if (known * 2 <= fresh) return first > watermark + DAY && fresh > 0 ? { from: watermark, to: first } : undefined
  const [from, to] = [first, watermark].map((time) => new Date(time).toISOString())
  throw new UserError(
    `Group "${group}" has not scored the transactions of "${input.records.topic}" from ${from} on, and the history ` +
      `in the online store goes on to ${to}: it knows what came after them. ` +
      'End it where they begin, then score again: ' +
      `fd features backfill --dataset ${history.dataset} --data ${history.file} --until ${from} --online`,
  )
}
