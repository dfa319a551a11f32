import { closeSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import type { EntityState } from '../store/online-store.ts'

/** Parts are read and written in stretches of this size, since one state has only a few hundred bytes. */
const BUFFER_BYTES = 1 << 20

/** The folder where the shards of one backfill leave their parts, and the number of shards. The join reads it. */
export interface ShardFolder {
  folder: string
  count: number
}

export function featuresFile({ folder }: Pick<ShardFolder, 'folder'>, view: string, shard: number): string {
  return join(folder, `${encodeURIComponent(view)}-${shard}.features`)
}

export function statesFile({ folder }: Pick<ShardFolder, 'folder'>, shard: number): string {
  return join(folder, `${shard}.states`)
}

/** A part that is being written. Its file has its name only after `close`; a disposal before that removes it. */
export interface PartWriter extends Disposable {
  write(bytes: Uint8Array | Float64Array): void
  close(): void
}

/** @param attempt a word that no other attempt at this part uses: two may write at the same time, each its own file. */
export function openPartWriter(file: string, attempt: string): PartWriter {
  const partial = `${file}.${attempt}`
  const descriptor = openSync(partial, 'w')
  const held = Buffer.allocUnsafe(BUFFER_BYTES)
  let size = 0
  let state: 'open' | 'closed' = 'open'
  const flush = (): void => {
    writeAll(descriptor, held.subarray(0, size))
    size = 0
  }
  return {
    write: (values) => {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
      if (size + bytes.length > held.length) flush()
      if (bytes.length > held.length) return writeAll(descriptor, bytes)
      held.set(bytes, size)
      size += bytes.length
    },
    close: () => {
      flush()
      closeSync(descriptor)
      state = 'closed'
      renameSync(partial, file)
    },
    [Symbol.dispose]: () => {
      if (state === 'closed') return
      state = 'closed'
      closeSync(descriptor)
      rmSync(partial, { force: true })
    },
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at)
}

/**
 * The features of some rows as a part keeps them: the count n, n rising row numbers, n × width values, row-major. All
 * are float64 in the machine's byte order.
 */
export function rowBlock(rows: Float64Array, values: Float64Array): Float64Array {
  const block = new Float64Array(1 + rows.length + values.length)
  block[0] = rows.length
  block.set(rows, 1)
  block.set(values, 1 + rows.length)
  return block
}

/** The rows of one part, taken in order. */
export interface RowReader extends Disposable {
  /**
   * Copies the features of the part's rows from `from` to below `to` to `out[(row − from) × stride + offset …]`
   * and returns the number of these rows.
   */
  take(from: number, to: number, out: Float64Array, stride: number, offset: number): number
}

/** @throws UserError when the part is not there or cut short. */
export function openRowReader(file: string, width: number): RowReader {
  const descriptor = open(file)
  let block = { rows: new Float64Array(0), values: new Float64Array(0) }
  let at = 0
  const next = (): boolean => {
    const head = new Float64Array(1)
    if (read(descriptor, head) === 0) return false
    block = { rows: new Float64Array(head[0]), values: new Float64Array(head[0] * width) }
    at = 0
    const whole = fill(descriptor, block.rows) && fill(descriptor, block.values)
    if (!whole) throw cutShort(file)
    return true
  }
  return {
    take(from, to, out, stride, offset) {
      let taken = 0
      while (at < block.rows.length || next()) {
        for (; at < block.rows.length && block.rows[at] < to; at++) {
          const target = (block.rows[at] - from) * stride + offset
          for (let f = 0; f < width; f++) out[target + f] = block.values[at * width + f]
          taken++
        }
        if (at < block.rows.length) break
      }
      return taken
    },
    [Symbol.dispose]: () => closeSync(descriptor),
  }
}

const HEADER_BYTES = 8
const entity = z.tuple([z.string(), z.union([z.number(), z.string()])])

/**
 * A state as a part keeps it, little endian: u32 length of the name, u32 length of the bytes, the name as JSON
 * `[view, key]`, the bytes.
 */
export function stateBlock({ view, key, bytes }: EntityState): Uint8Array {
  const name = Buffer.from(JSON.stringify([view, key]))
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(name.length, 0)
  header.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([header, name, bytes])
}

/**
 * All states of a part, one after the other. Their bytes stay valid.
 *
 * @throws UserError when the part is not there or cut short.
 */
export function* readStates(file: string): Generator<EntityState> {
  const descriptor = open(file)
  // The buffer is never filled again, because states that were handed out lie in it: the next stretch gets a new one.
  let held = Buffer.alloc(0)
  let at = 0
  const atLeast = (bytes: number): boolean => {
    if (held.length - at >= bytes) return true
    const next = Buffer.allocUnsafeSlow(Math.max(BUFFER_BYTES, bytes))
    const kept = held.copy(next, 0, at)
    held = next.subarray(0, kept + read(descriptor, next.subarray(kept)))
    at = 0
    return held.length >= bytes
  }
  try {
    while (atLeast(HEADER_BYTES)) {
      const [nameBytes, stateBytes] = [held.readUInt32LE(at), held.readUInt32LE(at + 4)]
      if (!atLeast(HEADER_BYTES + nameBytes + stateBytes)) break
      const name = at + HEADER_BYTES
      const state = name + nameBytes
      const [view, key] = entity.parse(JSON.parse(held.toString('utf8', name, state)))
      at = state + stateBytes
      yield { view, key, bytes: held.subarray(state, at) }
    }
    if (at < held.length) throw cutShort(file)
  } finally {
    closeSync(descriptor)
  }
}

function open(file: string): number {
  try {
    return openSync(file, 'r')
  } catch (error) {
    throw new UserError(
      `A shard was done, but its part ${file} is not here. ` +
        'Workers of a sharded backfill need the same FD_HOME, on one disk that all of them see.',
      { cause: error },
    )
  }
}

/** Whether the file had enough bytes to fill `target`. */
function fill(descriptor: number, target: Float64Array): boolean {
  return read(descriptor, target) === target.byteLength
}

/** Reads into `target` and returns the number of bytes: fewer than it holds only at the end of the file. */
function read(descriptor: number, target: Uint8Array | Float64Array): number {
  const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength)
  let at = 0
  while (at < bytes.length) {
    const got = readSync(descriptor, bytes, at, bytes.length - at, null)
    if (got === 0) break
    at += got
  }
  return at
}

function cutShort(file: string): UserError {
  return new UserError(`${file} is cut short. Run the command again.`)
}
