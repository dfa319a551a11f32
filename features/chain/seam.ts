/**
 * The seam of history and log: how a base, which a backfill folded from files, and the records of the log become one
 * sequence of events, with every transaction in it once. Scorer and parity both go through it.
 *
 * 1. **Order.** First the base's history, then the log's records, from the oldest that the log has.
 * 2. **Once.** A transaction counts where it stands first in that sequence. The rings of its keys hold the ids of the
 *    events that a window can reach, so a record of the same key, time and id is known as a repeat without any state
 *    of its own. A repeat is neither folded nor scored. It is a dead letter that names the place of the first, unless
 *    its offset was committed: then it had its output before this base was made.
 * 3. **Undecided.** No transaction is decided on a base that knows what came after it. History must therefore end
 *    where the first record begins whose outputs are not written yet. Where it goes on beyond that, the group does
 *    not start.
 * 4. **Late.** A record from before the end of history that history does not hold is an event that came late. It is
 *    folded as any other.
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
import { DAY, FRAUD_LABEL, HOUR, removeRows, type EpochMs, type EventBatch } from '../../datasets/table/transaction.ts'
import { unpackPlace } from '../fold/log-place.ts'
import type { Repeat } from '../fold/repeats.ts'
import { keepRows, type ServiceFold } from '../fold/service-fold.ts'
import type { Base } from '../store/online-store.ts'
import { placesOf, type StageInput } from './stage-record.ts'

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
  readonly #options: SeamOptions
  /** Whether the first record that is folded has been seen (rule 5), and the first undecided one (rule 3). */
  #folded: boolean
  #decided: boolean

  constructor(options: SeamOptions) {
    this.#options = options
    this.#folded = options.begun ?? false
    this.#decided = options.begun ?? false
  }

  /**
   * Takes a batch's repeats out and makes rejections of them (`removeRepeats`). The fold must have been prepared for
   * the batch, with the stored state of its keys.
   *
   * @param committed the first offset whose outputs are not written yet.
   * @throws UserError with the backfill that ends where the undecided records begin (rule 3).
   */
  join(input: StageInput, fold: ServiceFold, committed: number): void {
    const { base } = this.#options
    const repeats = fold.repeated(input.decoded.events, placesOf(input))
    // Later stages get what the first one let pass.
    if (base.history !== undefined && input.earlier === undefined) {
      if (!this.#folded) this.#tellGap(input)
      if (!this.#decided) this.#checkUndecided(input, repeats, committed)
    }
    removeRepeats(input, fold, repeats)
  }

  #tellGap({ decoded: { events } }: StageInput): void {
    const { watermark } = this.#options.base
    const first = beginningOf(events)
    if (first === Infinity) return
    this.#folded = true
    const gap = gapBetween(watermark, first)
    if (gap !== undefined) this.#options.onGap?.(gap)
  }

  /**
   * Looks at the first transactions that are not committed. The base knows their future when it holds the very first
   * of them, or most of them, or when most are further behind its end than an event may be late.
   */
  #checkUndecided({ decoded, records }: StageInput, repeats: readonly Repeat[], committed: number): void {
    const { history, watermark } = this.#options.base
    const { events, index } = decoded
    const fresh = firstTransactions(events.kind, events.size, (row) => records.offsets[index[row]] >= committed)
    if (fresh.length === 0) return
    this.#decided = true
    // A repeat from after the newest event of history repeats a record of the log.
    const end = Math.min(history?.until ?? Infinity, watermark + 1)
    const repeated = new Set(repeats.map(({ row }) => row))
    const held = fresh.filter((row) => repeated.has(row) && events.time[row] < end)
    const known = fresh.filter((row) => events.time[row] < watermark - HOUR || held.includes(row))
    const most = (rows: readonly number[]): boolean => rows[0] === fresh[0] || rows.length * 2 > fresh.length
    // One that came late may be far older than the log: history would end too early at it. So those that the rings
    // hold say where the log begins, unless the rings have let most of them go.
    if (most(held)) this.#refuse(records.topic, earliest(events.time, held))
    if (known.length * 2 > fresh.length) this.#refuse(records.topic, earliest(events.time, known))
  }

  #refuse(topic: string, first: EpochMs): never {
    const { group, base } = this.#options
    const [from, to] = [first, base.watermark].map((time) => new Date(time).toISOString())
    throw new UserError(
      `Group "${group}" has not scored the transactions of "${topic}" from ${from} on, and the history ` +
        `in the online store goes on to ${to}: it knows what came after them. ` +
        'End it where they begin, then score again: ' +
        `fd features backfill --dataset ${base.history?.dataset} --data ${base.history?.file} --until ${from} --online`,
    )
  }
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
  return earliest(time, firstTransactions(kind, size))
}

/** The first rows that are transactions, and that `wanted` wants. */
function firstTransactions(kind: Uint8Array, size: number, wanted: (row: number) => boolean = () => true): number[] {
  const rows: number[] = []
  for (let row = 0; row < size && rows.length < FIRST; row++)
    if (kind[row] !== FRAUD_LABEL && wanted(row)) rows.push(row)
  return rows
}

function earliest(time: Float64Array, rows: readonly number[]): EpochMs {
  return rows.reduce((first, row) => Math.min(first, time[row]), Infinity)
}

/**
 * Takes rows out of a batch, in place, and makes rejections of them. What the stages before found for these rows goes
 * with them.
 */
function removeRepeats({ decoded, earlier }: StageInput, fold: ServiceFold, repeats: readonly Repeat[]): void {
  if (repeats.length === 0) return
  const rows = repeats.map(({ row }) => row)
  const { events, index, rejected } = decoded
  if (earlier !== undefined) keepRows(earlier, fold.names.length, transactionsBut(rows, events))
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
  const gone = new Set(rows)
  let kept = 0
  for (let row = 0; row < events.size + rows.length; row++) if (!gone.has(row)) index[kept++] = index[row]
  fold.prepare(events)
}

/** A batch's transactions but those in `rows`, by their number among all its transactions. Rising. */
function transactionsBut(rows: readonly number[], { kind, size }: EventBatch): number[] {
  const gone = new Set(rows)
  const kept: number[] = []
  let k = 0
  for (let row = 0; row < size; row++) {
    if (kind[row] === FRAUD_LABEL) continue
    if (!gone.has(row)) kept.push(k)
    k++
  }
  return kept
}
