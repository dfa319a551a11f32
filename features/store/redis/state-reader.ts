import type { Redis } from 'ioredis'
import type { RedisConnection } from '../../../configs/connections/redis.ts'
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
}

/**
 * Reads states from the partition's own keys, and those it lacks from the base's.
 *
 * Asking for both at once saves a round trip where most states are the base's, and moves twice the bytes where most are
 * the group's own. Each batch tells which to expect of the next (measured: online-store.bench.ts).
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
    const { run, own, base, hasOwn } = this.#source
    if (base === undefined) return run((redis) => get(redis, own(view), keys))
    if (!hasOwn()) return run((redis) => get(redis, base(view), keys))
    return this.#expectBase
      ? this.#readBoth(own(view), base(view), keys)
      : this.#readOwnFirst(own(view), base(view), keys)
  }

  async #readBoth(own: string, base: string, keys: Keys): Promise<Values> {
    const [first, second] = await this.#source.run((redis) =>
      Promise.all([get(redis, own, keys), get(redis, base, keys)]),
    )
    this.#expectBase = 2 * first.filter((bytes) => bytes === null).length > keys.length
    return first.map((bytes, i) => bytes ?? second[i])
  }

  async #readOwnFirst(own: string, base: string, keys: Keys): Promise<Values> {
    const values = await this.#source.run((redis) => get(redis, own, keys))
    const missing = values.flatMap((bytes, i) => (bytes === null ? [i] : []))
    this.#expectBase = 2 * missing.length > keys.length
    if (missing.length === 0) return values
    const wanted = missing.map((i) => keys[i])
    const rest = await this.#source.run((redis) => get(redis, base, wanted))
    missing.forEach((i, k) => (values[i] = rest[k]))
    return values
  }
}

function get(redis: Redis, stem: string, keys: Keys): Promise<Values> {
  return redis.mgetBuffer(keys.map((key) => entityKey(stem, key)))
}
