import { UserError } from '../configs/user-error.ts'
import type { Base, Checkpoint } from './online-store.ts'

/** A base as it is stored: with the number of the load that wrote it, and of the one that is served beside it. */
export interface StoredBase extends Base {
  load: number
  previous: number
}

/** JSON has no −Infinity, the watermark of an empty fold. */
export function recordText(record: StoredBase | Checkpoint): string {
  return JSON.stringify({ ...record, watermark: Number.isFinite(record.watermark) ? record.watermark : null })
}

/** The record that was stored under `key`, undefined when there was none. */
export function readRecord<T extends StoredBase | Checkpoint>(text: string | null, key: string): T | undefined {
  if (text === null) return undefined
  try {
    const record = JSON.parse(text) as T
    return { ...record, watermark: record.watermark ?? -Infinity }
  } catch (error) {
    throw new UserError(`"${key}" in Redis is not a record of ours. Choose another prefix (redis://…?prefix=NAME), or remove the key and run: fd features backfill --online`, { cause: error })
  }
}
