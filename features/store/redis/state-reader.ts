import type { RedisConnection } from '../../../configs/connections/redis.ts'
import type { UserError } from '../../../configs/user-error.ts'
import { entityKey } from './keys.ts'

/** Keys in one MGET: a batch of 256 is two commands, and the server answers the first while the second is written. */
const BATCH = 128

type Keys = readonly (number | string)[]
type Values = (Buffer | null)[]

/** Where the states of a group's partition lie, and how to ask for them. */
export interface StateSource {
  run: RedisConnection['run']
  /** Start of the keys of a view's states: the partition's own, and the base's, undefined when the base is empty. */
  own: (view: string) => string
  base: ((view: string) => string) | undefined
  /** Whether the partition may have states of its own by now. */
  hasOwn: () => boolean
  /** The key of the owner's name, and the error for when it is gone. Absent for onlookers. */
  owner?: { key: string; gone: () => Promise<UserError> }
}

/**
 * Reads states from the partition's own keys, and those it lacks from the base's.
 *
 * Asking for both at once saves a round trip where most states are the base's, and moves twice the bytes where most are
 * the group's own. Each batch tells which to expect of the next (measured: online-store.bench.ts).
 *
 * An owner asks for its own name behind every MGET. In a server that was emptied, or whose base is being removed, every
 * customer would look new. As long as the name is there, what was asked for before it was, since a removal takes the
 * names first.
 */
export class StateReader {
  readonly #source: StateSource
  #expectBase = true

  constructor(source: StateSource) {
    this.#source = source
  }

  /** As `GroupState.read`. */
  async read(view: string, keys: Keys): Promise<(Uint8Array | undefined)[]> {
    const batches = Array.from({ length: Math.ceil(keys.length / BATCH) }, (_, i) =>
      keys.slice(i * BATCH, (i + 1) * BATCH),
    )
    const found = await Promise.all(batches.map((batch) => this.#readBatch(view, batch)))
    return found.flat().map((bytes) => bytes ?? undefined)
  }

  async #readBatch(view: string, keys: Keys): Promise<Values> {
    const { own, base, hasOwn } = this.#source
    if (base === undefined) return (await this.#get([own(view), keys]))[0]
    if (!hasOwn()) return (await this.#get([base(view), keys]))[0]
    return this.#expectBase
      ? this.#readBoth(own(view), base(view), keys)
      : this.#readOwnFirst(own(view), base(view), keys)
  }

  async #readBoth(own: string, base: string, keys: Keys): Promise<Values> {
    const [first, second] = await this.#get([own, keys], [base, keys])
    this.#expectBase = 2 * first.filter((bytes) => bytes === null).length > keys.length
    return first.map((bytes, i) => bytes ?? second[i])
  }

  async #readOwnFirst(own: string, base: string, keys: Keys): Promise<Values> {
    const [values] = await this.#get([own, keys])
    const missing = values.flatMap((bytes, i) => (bytes === null ? [i] : []))
    this.#expectBase = 2 * missing.length > keys.length
    if (missing.length === 0) return values
    const [rest] = await this.#get([base, missing.map((i) => keys[i])])
    missing.forEach((i, k) => (values[i] = rest[k]))
    return values
  }

  /** One MGET for each of the stems, and behind them the question for the owner's name, in one trip to the server. */
  async #get(...wanted: [stem: string, keys: Keys][]): Promise<Values[]> {
    const { run, owner } = this.#source
    const [values, named] = await run((redis) =>
      Promise.all([
        Promise.all(wanted.map(([stem, keys]) => redis.mgetBuffer(keys.map((key) => entityKey(stem, key))))),
        owner === undefined ? 1 : redis.exists(owner.key),
      ]),
    )
    if (named === 0) throw await owner?.gone()
    return values
  }
}
