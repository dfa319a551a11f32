import type { Redis } from 'ioredis'
import type { RedisConnection } from '../../../configs/connections/redis.ts'
import { UserError } from '../../../configs/user-error.ts'
import { replacedState, type Checkpoint, type GroupPartition } from '../online-store.ts'
import type { ServiceKeys } from './keys.ts'
import { readCheckpoint, readNewest } from './record.ts'

/** A state that is watched: its partition, its tag, and the version of its base. */
interface Watched {
  keys: ServiceKeys
  place: GroupPartition
  tag: string
  version: number
}

/**
 * Finds out when the server has lost what it had acknowledged of a state, and from then on refuses every call.
 *
 * After every lost connection it compares the stored checkpoint with the one last read or acknowledged, and the stored
 * base with the one in use. A server that came back without them has forgotten states too, and nobody knows which.
 */
export class LossWatch implements Disposable {
  readonly #connection: RedisConnection
  readonly #watched: Watched
  readonly #check: Disposable
  #acknowledged: Checkpoint | undefined
  #lost: UserError | undefined

  constructor(connection: RedisConnection, watched: Watched, read: Checkpoint | undefined) {
    this.#connection = connection
    this.#watched = watched
    this.#acknowledged = read
    this.#check = connection.onReconnect((redis) => this.#compare(redis))
  }

  /** As `RedisConnection.run`, but rejects once something is known to be lost. */
  readonly run: RedisConnection['run'] = (attempt) =>
    this.#connection.run((redis) => (this.#lost === undefined ? attempt(redis) : Promise.reject(this.#lost)))

  /** Notes that the server has acknowledged a checkpoint. */
  acknowledged(checkpoint: Checkpoint): void {
    this.#acknowledged = checkpoint
  }

  /** The error to throw when the owner's name is gone. It goes with its base, or with all that the server has. */
  async nameGone(): Promise<UserError> {
    return (this.#lost ??= await this.#whyGone())
  }

  [Symbol.dispose](): void {
    this.#check[Symbol.dispose]()
  }

  async #compare(redis: Redis): Promise<void> {
    const { keys, place, tag, version } = this.#watched
    const [found, newest] = await Promise.all([readCheckpoint(redis, tag), readNewest(redis, keys)])
    if ((newest?.version ?? 0) < version) this.#lost ??= lostFeatures(this.#connection, place)
    else if (isBehind(found, this.#acknowledged)) this.#lost ??= lostState(this.#connection, place)
  }

  async #whyGone(): Promise<UserError> {
    const { keys, place, version } = this.#watched
    const newest = await this.run((redis) => readNewest(redis, keys))
    return (newest?.version ?? 0) > version ? replacedState(place) : lostFeatures(this.#connection, place)
  }
}

/** Whether the stored checkpoint is behind the acknowledged one. Ahead of it is no fault: another process wrote on. */
function isBehind(stored: Checkpoint | undefined, acknowledged: Checkpoint | undefined): boolean {
  return acknowledged !== undefined && !((stored?.offset ?? -1) >= acknowledged.offset)
}

function lostFeatures(connection: RedisConnection, { group }: GroupPartition): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} has lost the features that group "${group}" was reading: ` +
      'was it emptied, or started without its append-only file? ' +
      'Nothing is computed without them. Bring history back, then start the command again; ' +
      'it folds the log from its beginning: fd features backfill --online',
  )
}

function lostState(connection: RedisConnection, { group, topic, partition }: GroupPartition): UserError {
  return new UserError(
    `Redis at ${connection.address.shown} came back without state that it had acknowledged ` +
      `for group "${group}", partition ${partition} of "${topic}". ` +
      'Start the command again: it goes back to what is stored and folds the log from there. ' +
      'To lose nothing at a restart: redis-cli CONFIG SET appendonly yes, appendfsync always',
  )
}
