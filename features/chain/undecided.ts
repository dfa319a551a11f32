/**
 * Says whether a base knows what came after the transactions that nobody has decided yet (rule 3 of `seam.ts`). It
 * looks at the first of them one after the other, so the answer does not depend on batches. Each is one of these:
 *
 * - **Held**: the base holds it, and it is not on the log for the second time. History has it. Without times that says
 *   nothing: what comes again comes at another time.
 * - **Unclear**: it is older than the rings reach, so the base may have held it and let it go.
 * - **New**: it happened after the end of history. As soon as more are held or unclear than new, history goes on into
 *   the log. So does it where many are unclear. Fewer of them, behind new ones, are strays, which must stop no group.
 *   Neither may they where rings reach back over no time, and so can count nothing twice.
 * - **Late**: from before the end of history, which does not hold it. It may come at any time, and tells nothing.
 */
import { UserError } from '../../configs/user-error.ts'
import { FRAUD_LABEL, HOUR, type DurationMs, type EpochMs } from '../../datasets/table/transaction.ts'
import { KeyTable } from '../fold/key-table.ts'
import type { Repeat } from '../fold/repeats.ts'
import type { ServiceFold } from '../fold/service-fold.ts'
import type { Base } from '../store/online-store.ts'
import { longestReach } from '../view/view.ts'
import { NO_PLACE } from '../window/log-place.ts'
import type { StageInput } from './stage-record.ts'

/** So many undecided transactions are looked at, and so many unclear ones among them are no strays. */
const FIRST = 32
const MANY = FIRST / 2

/** A base that has a history. */
type HistoryBase = Required<Pick<Base, 'history' | 'watermark'>>

/** How many of one sort there are, and the event time of the earliest, Infinity without one. */
interface Tally {
  count: number
  earliest: EpochMs
}

/** The first undecided transactions of a partition. */
export class Undecided {
  readonly #base: HistoryBase
  readonly #group: string
  /** Ids of decided transactions that the base holds. */
  readonly #decided = new KeyTable()
  readonly #held: Tally = { count: 0, earliest: Infinity }
  readonly #unclear: Tally = { count: 0, earliest: Infinity }
  #new = 0
  #seen = 0

  constructor(base: HistoryBase, group: string) {
    this.#base = base
    this.#group = group
  }

  /**
   * Looks at a batch, until enough was seen; returns whether it was. Batches come in order, from the first that is
   * folded.
   *
   * @param repeats the batch's, in order of rows.
   * @param committed the first offset whose outputs are not written yet.
   * @throws UserError with the backfill that ends where the undecided transactions begin.
   */
  look(
    { decoded: { events, index }, records }: StageInput,
    repeats: readonly Repeat[],
    fold: ServiceFold,
    committed: number,
  ): boolean {
    const {
      history: { until = -Infinity },
      watermark,
    } = this.#base
    const end = Math.max(until, watermark + 1)
    const span = reachOf(fold)
    const reach = watermark - span - HOUR
    const { kind, ids, time } = events
    let next = 0
    let goesOn = false
    for (let row = 0; row < events.size && this.#seen < FIRST; row++) {
      if (kind[row] === FRAUD_LABEL) continue
      const repeat = repeats.at(next)?.row === row ? repeats[next++] : undefined
      const again = repeat !== undefined && (repeat.first !== NO_PLACE || this.#decided.slot(ids[row]) >= 0)
      if (records.offsets[index[row]] < committed) {
        if (repeat !== undefined && !again) this.#decided.add(ids[row])
        continue
      }
      this.#seen++
      if (repeat !== undefined) {
        if (!again && time[row] < end) add(this.#held, time[row])
      } else if (time[row] >= end) this.#new++
      else if (time[row] < reach) add(this.#unclear, time[row])
      goesOn ||= this.#held.count + (span > 0 ? this.#unclear.count : 0) > this.#new
    }
    // Not before: where they stand in disorder, history must end at the earliest of the batch.
    const [held, unclear] = [this.#held, this.#unclear]
    if (goesOn || unclear.count >= MANY) this.#refuse(records.topic, Math.min(held.earliest, unclear.earliest))
    return this.#seen === FIRST
  }

  #refuse(topic: string, first: EpochMs): never {
    const { history, watermark } = this.#base
    const [from, to] = [first, watermark].map((time) => new Date(time).toISOString())
    throw new UserError(
      `Group "${this.#group}" has not scored the transactions of "${topic}" from ${from} on, and the history ` +
        `in the online store goes on to ${to}: it knows what came after them. ` +
        'End it where they begin, then score again: ' +
        `fd features backfill --dataset ${history.dataset} --data ${history.file} --until ${from} --online`,
    )
  }
}

/**
 * How far back the rings of each entity hold whatever came, unless one is full. 0 without such rings: those that only
 * remember ids hold nothing of a history.
 */
function reachOf({ service, views }: ServiceFold): DurationMs {
  const byEntity = Map.groupBy(
    views.map(({ view }) => view).filter((view) => service.views.includes(view)),
    ({ entity }) => entity,
  )
  const reaches = Array.from(byEntity.values(), (views) => longestReach({ ...service, views }))
  return reaches.length === 0 ? 0 : Math.min(...reaches)
}

function add(tally: Tally, time: EpochMs): void {
  tally.count++
  tally.earliest = Math.min(tally.earliest, time)
}
