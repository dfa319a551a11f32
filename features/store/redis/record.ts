import type { Redis } from 'ioredis'
import { UserError } from '../../../configs/user-error.ts'
import type { Base, Checkpoint } from '../online-store.ts'
import { fromRecord, toRecord } from '../record.ts'
import { checkpointKey, type ServiceKeys } from './keys.ts'

/** A base as Redis stores it, with two load numbers: of the load that wrote it, and of the one it replaced. */
export interface StoredBase extends Base {
  load: number
  /** The load of the base before, which is kept for scorers that still read it. 0: there is none. */
  previous: number
}

export function recordText(record: StoredBase | Checkpoint): string {
  return toRecord(record)
}

/**
 * The record that was stored under `key`, undefined when there was none.
 *
 * @throws UserError when the text is no record, or a newer `fd` wrote it.
 */
export function readRecord<T extends StoredBase | Checkpoint>(text: string | null, key: string): T | undefined {
  if (text === null) return undefined
  try {
    return fromRecord<T>(text, `"${key}" in Redis`)
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(
      `"${key}" in Redis is not a record of ours. Choose another prefix (redis://…?prefix=NAME), ` +
        'or remove the key and run: fd features backfill --online',
      { cause: error },
    )
  }
}

/** The newest base of a service, undefined when there is none. */
export async function readNewest(redis: Redis, { base }: Pick<ServiceKeys, 'base'>): Promise<StoredBase | undefined> {
  return readRecord(await redis.get(base), base)
}

/** The checkpoint of the group's partition that has this tag. */
export async function readCheckpoint(redis: Redis, tag: string): Promise<Checkpoint | undefined> {
  return readRecord(await redis.get(checkpointKey(tag)), checkpointKey(tag))
}
