/**
 * The seam of history and log: how a base, which a backfill folded from files, and the records of the log become one
 * sequence of events, with every transaction in it once. Scorer and parity both go through it.
 *
 * 1. **Order.** First the base's history, then the log's records, from the oldest that the log has.
 * 2. **Once.** A transaction counts where it stands first in that sequence. The rings of its keys hold the ids of the
 *    events that a window can reach, so a record of the same key, time and id is known as a repeat without any state of
 *    its own. Where no view holds every transaction, ids are remembered for a span (`id-memory.ts`). A repeat is
 *    neither folded nor scored. It is a dead letter that names the place of the first, unless its offset was committed:
 *    then it had its output before this base was made.
 * 3. **Undecided.** No transaction is decided on a base that knows what came after it. History must therefore end
 *    where the first record begins whose outputs are not written yet. Where it goes on beyond that, the group does
 *    not start (`undecided.ts`).
 * 4. **Late.** Any other record from before the end of history that history does not hold is an event that came late,
 *    however late. It is folded as any other, and flagged beyond the allowed lateness.
 * 5. **Gap.** Where the first record that is folded happened long after the end of history, windows lack what lies
 *    between. That is told, and no fault: there may have been no transactions. Where the history's file goes on, parity
 *    counts what it has in a gap of any length.
 *
 * A label marks its transaction wherever that stands, also behind it (`fraud-labels.ts`), and marking twice is marking
 * once. So labels need no rule.
 *
 * History ends at its `until`, and what it holds ends with its newest transaction, which may be long before.
 */
import { UserError } from '../../configs/user-error.ts'
import { DAY, FRAUD_LABEL, removeRows, type EpochMs, type EventBatch } from '../../datasets/table/transaction.ts'
import { keepRows } from '../fold/fold-output.ts'
import type { Repeat } from '../fold/repeats.ts'
import type { ServiceFold } from '../fold/service-fold.ts'
import type { Base } from '../store/online-store.ts'
import { NO_PLACE, unpackPlace } from '../window/log-place.ts'
import { placesOf, type StageInput } from './stage-record.ts'
import { Undecided } from './undecided.ts'

/** A time of which neither history nor log has a transaction. */
export interface HistoryGap {
  from: EpochMs
  to: EpochMs
}

export interface SeamOptions {
  base: Pick<Base, 'history' | 'watermark'>
  /** Named in the refusal of rule 3. */
  group: string
  /** The state stands beyond the seam already: its first records were folded by an earlier run. */
  begun?: boolean
  /** Called once, when the gap of rule 5 is found. */
  onGap?: (gap: HistoryGap) => void
}

/** So many transactions show where a log begins. */
const FIRST = 32
/** A shorter time between history and log is no gap: the night, and what is on its way. */
const SHORTEST_GAP = DAY

/** The seam of one partition. Batches go through it in the order of the log. */
export class Seam {
  readonly #watermark: EpochMs
  /** Until the first transaction that is folded has been seen (rule 5). */
  #onGap: SeamOptions['onGap']
  /** Until the first undecided transactions have been seen (rule 3). */
  #undecided: Undecided | undefined

  constructor({ base, group, begun = false, onGap }: SeamOptions) {
    const { watermark, history } = base
    this.#watermark = watermark
    if (begun || history === undefined) return
    this.#onGap = onGap
    this.#undecided = new Undecided({ watermark, history }, group)
  }

  /**
   * Takes a batch's repeats out and makes rejections of them (`removeRepeats`). The fold must have been prepared for
   * the batch, with the stored state of its keys.
   *
   * @param committed the first offset whose outputs are not written yet.
   * @throws UserError with the backfill that ends where the undecided records begin (rule 3), and for state that holds
   * a record which is only now to be folded.
   */
  join(input: StageInput, fold: ServiceFold, committed: number): void {
    const places = placesOf(input)
    const repeats = fold.repeated(input.decoded.events, places)
    // As a repeat of itself the record would never be scored.
    // Between two stages it may have been passed on twice, which would be found as a repeat.
    const folded = repeats.find(({ row, first }) => first !== NO_PLACE && first === places[row])
    if (folded !== undefined && input.earlier === undefined) throw foldedBefore(input, folded.row)
    // Later stages get what the first one let pass.
    if (input.earlier === undefined) {
      this.#tellGap(input.decoded.events)
      if (this.#undecided?.look(input, repeats, fold, committed)) this.#undecided = undefined
    }
    removeRepeats(input, fold, repeats)
  }

  #tellGap(events: EventBatch): void {
    const first = beginningOf(events)
    if (this.#onGap === undefined || first === Infinity) return
    const gap = gapBetween(this.#watermark, first)
    if (gap !== undefined) this.#onGap(gap)
    this.#onGap = undefined
  }
}

function foldedBefore({ decoded, records, partitions, offsets }: StageInput, row: number): UserError {
  const [partition, offset] = [partitions, offsets].map((each) => each[decoded.index[row]])
  return new UserError(
    `The stored state holds the transaction at offset ${offset} of partition ${partition} already, though it is ` +
      `said to end before it ("${records.topic}"). So it belongs to another copy of this log. Put that one back, or ` +
      'begin anew on this one, from the history that ends where it begins: ' +
      'fd features backfill --until DATE --online',
  )
}

/**
 * The gap of rule 5 between a history whose newest event is of `watermark` (−Infinity: none) and a log that begins with
 * a transaction of `first` (Infinity: none). Undefined where there is none to tell of.
 */
export function gapBetween(watermark: EpochMs, first: EpochMs): HistoryGap | undefined {
  const gap = watermark !== -Infinity && first !== Infinity && first > watermark + SHORTEST_GAP
  return gap ? { from: watermark, to: first } : undefined
}

/** The event time of the earliest of a batch's first transactions, by which a log is said to begin; Infinity: none. */
export function beginningOf({ kind, time, size }: EventBatch): EpochMs {
  let [seen, first] = [0, Infinity]
  for (let row = 0; row < size && seen < FIRST; row++) {
    if (kind[row] === FRAUD_LABEL) continue
    first = Math.min(first, time[row])
    seen++
  }
  return first
}

/**
 * Takes rows out of a batch, in place, and makes rejections of them. What the stages before found for these rows goes
 * with them.
 */
function removeRepeats({ decoded, earlier }: StageInput, fold: ServiceFold, repeats: readonly Repeat[]): void {
  if (repeats.length === 0) return
  const { events, index, rejected } = decoded
  const rows = repeats.map(({ row }) => row)
  const kept = rowsBut(rows, events.size)
  if (earlier !== undefined) keepRows(earlier, fold.names.length, numbersOf(kept, events))
  for (const { row, first } of repeats) {
    const place = unpackPlace(first)
    const where =
      place === undefined
        ? 'in the history that was backfilled, or in what an older fd has folded of the log ' +
          '(fd features backfill --until ends a history before the log begins)'
        : `at offset ${place.offset} of partition ${place.partition}`
    const reason = `transaction ${events.ids[row]} of this key and time was here before, ${where}`
    rejected.push({ index: index[row], kind: 'duplicate', reason, ...(place === undefined ? {} : { first: place }) })
  }
  rejected.sort((a, b) => a.index - b.index)
  removeRows(events, rows)
  for (const [to, from] of kept.entries()) index[to] = index[from]
  fold.prepare(events)
}

/** All rows but the given ones. Both rise. */
function rowsBut(rows: readonly number[], size: number): number[] {
  const kept: number[] = []
  for (let row = 0, next = 0; row < size; row++) {
    if (row === rows[next]) next++
    else kept.push(row)
  }
  return kept
}

/** The transactions among rows that rise, by their number among all transactions of the batch. */
function numbersOf(rows: readonly number[], { kind, size }: EventBatch): number[] {
  const numbers: number[] = []
  for (let row = 0, next = 0, k = 0; row < size; row++) {
    const wanted = row === rows[next]
    if (wanted) next++
    if (kind[row] === FRAUD_LABEL) continue
    if (wanted) numbers.push(k)
    k++
  }
  return numbers
}
