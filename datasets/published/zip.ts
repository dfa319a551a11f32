import { createReadStream, createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createInflateRaw } from 'node:zlib'
import { UserError } from '../../configs/user-error.ts'

const END_OF_DIRECTORY = 0x0605_4b50
const END_SIZE = 22
const ENTRY = 0x0201_4b50
const STORED = 0
const DEFLATED = 8

/**
 * Unpacks the first file of a zip archive to `target`: APPNOTE.TXT, sections 4.3.7 to 4.3.16, without zip64 and
 * encryption.
 *
 * @throws UserError when the archive is damaged or packed in another way.
 */
export async function unzipFirst(archive: string, target: string): Promise<void> {
  const { method, start, size } = await firstEntry(archive)
  const packed = createReadStream(archive, size === 0 ? { start, end: start } : { start, end: start + size - 1 })
  if (method === STORED) await pipeline(packed, createWriteStream(target))
  else if (method === DEFLATED) await pipeline(packed, createInflateRaw(), createWriteStream(target))
  else throw damaged(archive, `it is packed by method ${method}`)
}

async function firstEntry(archive: string): Promise<{ method: number; start: number; size: number }> {
  const handle = await open(archive)
  try {
    const { size: length } = await handle.stat()
    // The end record comes last; only a comment of at most 64 KB may follow it.
    const tail = await readAt(handle, Math.max(0, length - END_SIZE - 0xffff), Math.min(length, END_SIZE + 0xffff))
    let end = tail.length - END_SIZE
    while (end >= 0 && tail.readUInt32LE(end) !== END_OF_DIRECTORY) end--
    if (end < 0) throw damaged(archive, 'its directory is missing')
    const entry = await readAt(handle, tail.readUInt32LE(end + 16), 46)
    if (entry.length < 46 || entry.readUInt32LE(0) !== ENTRY) throw damaged(archive, 'its directory is empty')
    const local = entry.readUInt32LE(42)
    // The name and the extra field before the data may have other lengths than those in the directory.
    const header = await readAt(handle, local, 30)
    if (header.length < 30) throw damaged(archive, 'its file is missing')
    return {
      method: entry.readUInt16LE(10),
      start: local + 30 + header.readUInt16LE(26) + header.readUInt16LE(28),
      size: entry.readUInt32LE(20),
    }
  } finally {
    await handle.close()
  }
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position)
  return buffer.subarray(0, bytesRead)
}

function damaged(archive: string, why: string): UserError {
  return new UserError(`${archive} cannot be unzipped: ${why}. Delete it and download it again.`)
}
