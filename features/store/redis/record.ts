import { UserError } from '../../../configs/user-error.ts'
import type { Base, Checkpoint } from '../online-store.ts'
import { fromRecord, toRecord } from '../record.ts'

/** A base as it is stored: with the number of the load that wrote it, and of the one that is served beside it. */
export interface StoredBase extends Base {
  load: number
  previous: number
}

export function recordText(record: StoredBase | Checkpoint): string {
  return toRecord(record)
}

/** The record that was stored under `key`, undefined when there was none. */
export function readRecord<T extends StoredBase | Checkpoint>(text: string | null, key: string): T | undefined {
  if (text === null) return undefined
  try {
    return fromRecord<T>(text, `"${key}" in Redis`)
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(
      `"${key}" in Redis is not a record of ours. Choose another prefix (redis://…?prefix=NAME), or remove the key and run: fd features backfill --online`,
      { cause: error },
    )
  }
}
