import { type DatasetSchema, mayLackKey } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, HOUR, type DurationMs, type EventBatch } from '../../datasets/table/transaction.ts'
import type { FeatureService } from '../view/view.ts'
import { featureMatrix } from './fold-output.ts'
import { IdHashes } from './id-hash.ts'
import type { IdView } from './id-keeper.ts'
import { ViewFold } from './view-fold.ts'

const MINUTE: DurationMs = 60_000
/** Parts of the ids: of those of one minute, and of those of a dataset without times. As exponents of two. */
const [PARTS_OF_MINUTE, PARTS] = [8, 16]

/**
 * Whether a service needs a memory of ids: none of its views holds every transaction in its rings, where one that comes
 * twice is found. A dataset without times and ids has only the numbers of rows in files, and another file has the same
 * numbers: then nothing says which transaction comes again.
 */
export function needsMemory({ views }: FeatureService, schema: DatasetSchema): boolean {
  const { id, time, entities } = schema
  if (time === 'none' && id === undefined) return false
  const always = new Set(entities.filter((entity) => !mayLackKey(schema, entity)).map(({ name }) => name))
  return !views.some((view) => view.kind === 'aggregate' && always.has(view.entity))
}

/**
 * The ids that are remembered for a span of time where a service has no view that holds every transaction. They are the
 * state of a view without features, so checkpoint, restart and the search for repeats treat them as they do any view's.
 *
 * A transaction is one by the log's key, its time and its id. A ring for each key would be kept for ever, and the key
 * may be the id. So there is a fixed number of rings:
 *
 * - **With times**, a ring for each minute of the span and each 256th of the ids. What comes again has its time again,
 *   and so comes to its ring. When all minutes have been used, the next one takes the rings of the oldest, which drop
 *   what has become too old. A checkpoint writes the rings of the minutes at hand.
 * - **Without times**, what comes again comes at another time, at most the span later. There is a ring for each
 *   65,536th of the ids.
 *
 * A ring reaches back over the span and the allowed lateness, from its newest transaction on. So an id with a time is
 * remembered for the span at least, and until another comes to its ring.
 */
export class IdMemory {
  readonly fold: ViewFold
  /** The ids of the batch at hand, each with the log's key. */
  hashes = new IdHashes()
  slots = new Uint32Array(0)

  readonly #span: DurationMs
  readonly #timed: boolean
  readonly #keyed: boolean
  readonly #minutes: number
  readonly #ownHashes = new IdHashes()
  /** By row: which ring. */
  #rings = new Float64Array(0)

  /** @param span another one has other rings: what was remembered is not found there. */
  constructor(span: DurationMs, schema: DatasetSchema) {
    this.#span = span
    this.#timed = schema.time !== 'none'
    this.#keyed = schema.entities.length > 0
    this.#minutes = Math.ceil((span + HOUR) / MINUTE) + 1
    const name = `ids of ${span} ms`
    this.fold = new ViewFold(
      { kind: 'aggregate', name, entity: 'ids', includesCurrent: true, features: [] },
      { scale: 1, ids: true, kept: span, lateness: HOUR, refunds: schema.refunds === true },
    )
  }

  /** What asks it for repeats. */
  get view(): IdView {
    return { view: this.fold, later: this.#timed ? undefined : this.#span }
  }

  /** Finds the rings of a batch's transactions, and returns those that are new, as `ViewFold.resolve`. */
  prepare(batch: EventBatch, ids: IdHashes): (number | string)[] {
    const { size, kind, time } = batch
    if (this.slots.length < size) {
      this.slots = new Uint32Array(size)
      this.#rings = new Float64Array(size)
    }
    this.hashes = this.#keyed ? this.#ownHashes.takeWithin(ids, batch.entities[0], size) : ids
    for (let row = 0; row < size; row++)
      this.#rings[row] = kind[row] === FRAUD_LABEL ? Number.NaN : this.#ringOf(row, time[row])
    return this.fold.resolve(this.#rings, size, this.slots)
  }

  /** Remembers the transactions of a prepared batch. */
  add(batch: EventBatch, places: Float64Array | undefined): void {
    const { slots, hashes } = this
    this.fold.fold(batch, slots, NO_OUTPUT, { column: 0, stride: 0, bit: 0, places, hashes })
  }

  #ringOf(row: number, time: number): number {
    const mixed = Math.imul(this.hashes.low[row] ^ this.hashes.high[row], 0x9e37_79b1) >>> 0
    if (!this.#timed) return mixed >>> (32 - PARTS)
    const minute = Math.floor(time / MINUTE) % this.#minutes
    return minute * 2 ** PARTS_OF_MINUTE + (mixed >>> (32 - PARTS_OF_MINUTE))
  }
}

/** There are no features, and nobody asks whether an id came late. */
const NO_OUTPUT = featureMatrix()
