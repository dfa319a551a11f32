import type { Metric } from '../model.ts'
import { pairsOf, realOf } from './json.ts'

/** What is to be logged to a run, complete. */
export interface Logged {
  metrics: Metric[]
  params: Record<string, string>
  tags: Record<string, string>
}

/** What one log-batch call takes. */
export interface Batch {
  metrics: { key: string; value: number | string; timestamp: number; step: number }[]
  params: { key: string; value: string }[]
  tags: { key: string; value: string }[]
}

/** MLflow's limits of one call (`mlflow/utils/validation.py`). */
const MOST = { metrics: 1_000, params: 100, tags: 100, all: 1_000, bytes: 1_000_000 } as const
/** Bytes for the call's own braces and ids. */
const ENVELOPE = 1_000

/**
 * Cuts what is to be logged into calls within MLflow's limits, in the order params, tags, metrics: a param that may not
 * change is found before any metric is written.
 *
 * @returns at least one call, so that a missing run is noticed.
 */
export function batchesOf({ metrics, params, tags }: Logged): Batch[] {
  const batches: Batch[] = []
  let current: Batch
  let bytes = 0
  const begin = (): void => {
    current = { metrics: [], params: [], tags: [] }
    bytes = ENVELOPE
    batches.push(current)
  }
  const add = <K extends keyof Batch>(kind: K, item: Batch[K][number]): void => {
    const size = Buffer.byteLength(JSON.stringify(item)) + 1
    const count = current.metrics.length + current.params.length + current.tags.length
    if (current[kind].length === MOST[kind] || count === MOST.all || bytes + size > MOST.bytes) begin()
    const list: Batch[K][number][] = current[kind]
    list.push(item)
    bytes += size
  }
  begin()
  for (const param of pairsOf(params)) add('params', param)
  for (const tag of pairsOf(tags)) add('tags', tag)
  for (const { key, value, timestamp, step } of metrics) add('metrics', { key, value: realOf(value), timestamp, step })
  return batches
}
