import { createReadStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { crc32, createInflateRaw } from 'node:zlib'
import { errorMessage, UserError } from '../../configs/user-error.ts'

const END_OF_DIRECTORY = 0x0605_4b50
const END_SIZE = 22
const LARGE_END_LOCATOR = 0x0706_4b50
const LARGE_END_LOCATOR_SIZE = 20
const LARGE_END_OF_DIRECTORY = 0x0606_4b50
const ENTRY = 0x0201_4b50
const ENTRY_SIZE = 46
const LOCAL_HEADER = 0x0403_4b50
const LOCAL_HEADER_SIZE = 30
/** The extra field with the numbers that have no room in 32 bits, which are all ones there. */
const LARGE_NUMBERS = 1
const ALL_ONES = 0xffff_ffff
const ENCRYPTED = 1
const STORED = 0
const DEFLATED = 8

/** A directory is read whole, so it is bounded: 64 MB are a million files. */
const LARGEST_DIRECTORY = 64 * 1024 * 1024

export const ZIP_MAGIC = [...Buffer.from('PK\u0003\u0004')]

/** One file of an archive, as its directory describes it. */
interface Member {
  name: string
  encrypted: boolean
  method: number
  crc: number
  packedSize: number
  size: number
  /** Where its local header begins. */
  at: number
}

/**
 * The bytes of the one file in a zip archive, stored or deflated, zip64 included (APPNOTE.TXT, sections 4.3 to 4.5).
 * Folders, and what macOS adds, do not count.
 *
 * @throws UserError, at the call or while the bytes are read, when the archive holds no file or several (they are
 * named), is encrypted, packed in another way, or cut short or damaged: lengths and checksum must be those of the
 * directory.
 */
export async function unzipOnly(archive: string): Promise<AsyncIterable<Buffer>> {
  const handle = await open(archive)
  try {
    const member = onlyMember(archive, await membersOf(archive, handle))
    // The name and the extra field before the data may have other lengths than those in the directory.
    const header = await readAt(archive, handle, member.at, LOCAL_HEADER_SIZE)
    if (header.readUInt32LE(0) !== LOCAL_HEADER) throw damaged(archive, `${member.name} is not where it should be`)
    const start = member.at + LOCAL_HEADER_SIZE + header.readUInt16LE(26) + header.readUInt16LE(28)
    if (start + member.packedSize > (await handle.stat()).size) throw damaged(archive, 'it ends too early')
    return checkedBytes(archive, member, start)
  } finally {
    await handle.close()
  }
}

function onlyMember(archive: string, members: Member[]): Member {
  if (members.some(({ name }) => name === '[Content_Types].xml'))
    throw new UserError(`${archive} is an Excel workbook or another Office file: save the sheet as CSV.`)
  const files = members.filter(({ name }) => !name.endsWith('/') && !name.startsWith('__MACOSX/'))
  if (files.length !== 1) {
    const shown = files.slice(0, 10).map(({ name }) => JSON.stringify(name))
    const names = files.length === 0 ? '' : `: ${shown.join(', ')}${files.length > shown.length ? ', …' : ''}`
    throw new UserError(
      `${archive} is a ZIP archive of ${files.length} files${names}. ` +
        'An archive of one CSV file is read as it is; unpack this one, and give the table with --data FILE.',
    )
  }
  const [member] = files
  if (member.encrypted) throw new UserError(`${archive} is encrypted. Unpack it, and give the table with --data FILE.`)
  if (member.method !== STORED && member.method !== DEFLATED)
    throw new UserError(
      `${archive} is packed by method ${member.method}, not deflated: unpack it with another program.`,
    )
  return member
}

async function membersOf(archive: string, handle: FileHandle): Promise<Member[]> {
  const { from, size } = await directoryOf(archive, handle)
  if (size > LARGEST_DIRECTORY) throw damaged(archive, 'its directory has no sound length')
  const directory = await readAt(archive, handle, from, size)
  const members: Member[] = []
  for (let at = 0; at < size;) {
    if (at + ENTRY_SIZE > size || directory.readUInt32LE(at) !== ENTRY)
      throw damaged(archive, 'its directory is not whole')
    const [name, extra, comment] = [28, 30, 32].map((place) => directory.readUInt16LE(at + place))
    const end = at + ENTRY_SIZE + name + extra + comment
    if (end > size) throw damaged(archive, 'its directory is not whole')
    members.push(memberOf(directory.subarray(at, end), name, extra))
    at = end
  }
  return members
}

function memberOf(entry: Buffer, nameSize: number, extraSize: number): Member {
  const extraFrom = ENTRY_SIZE + nameSize
  const large = largeNumbers(entry.subarray(extraFrom, extraFrom + extraSize))
  // Only the numbers that are all ones stand in the extra field, in this order.
  const [size, packedSize, at] = [24, 20, 42].map((place) => {
    const found = entry.readUInt32LE(place)
    return found === ALL_ONES ? (large.shift() ?? found) : found
  })
  return {
    name: entry.toString('utf8', ENTRY_SIZE, extraFrom),
    encrypted: (entry.readUInt16LE(8) & ENCRYPTED) !== 0,
    method: entry.readUInt16LE(10),
    crc: entry.readUInt32LE(16),
    packedSize,
    size,
    at,
  }
}

/** The 64-bit numbers of a zip64 extra field; none without one. */
function largeNumbers(extra: Buffer): number[] {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== LARGE_NUMBERS) continue
    const field = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2))
    return Array.from({ length: Math.min(3, Math.floor(field.length / 8)) }, (_, i) =>
      Number(field.readBigUInt64LE(i * 8)),
    )
  }
  return []
}

/** Where the directory begins, and its length. */
async function directoryOf(archive: string, handle: FileHandle): Promise<{ from: number; size: number }> {
  const { size: length } = await handle.stat()
  // The end record comes last; only a comment of at most 64 KB may follow it.
  const most = Math.min(length, END_SIZE + 0xffff)
  const tail = await readAt(archive, handle, length - most, most)
  let end = tail.length - END_SIZE
  while (end >= 0 && tail.readUInt32LE(end) !== END_OF_DIRECTORY) end--
  if (end < 0) throw damaged(archive, 'its directory, which stands at its end, is missing')
  const [size, from] = [tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)]
  if (size !== ALL_ONES && from !== ALL_ONES) return { from, size }
  const locator = end - LARGE_END_LOCATOR_SIZE
  if (locator < 0 || tail.readUInt32LE(locator) !== LARGE_END_LOCATOR)
    throw damaged(archive, 'its zip64 directory is missing')
  const record = await readAt(archive, handle, Number(tail.readBigUInt64LE(locator + 8)), 56)
  if (record.readUInt32LE(0) !== LARGE_END_OF_DIRECTORY) throw damaged(archive, 'its zip64 directory is missing')
  return { from: Number(record.readBigUInt64LE(48)), size: Number(record.readBigUInt64LE(40)) }
}

async function readAt(archive: string, handle: FileHandle, position: number, length: number): Promise<Buffer> {
  // A damaged number may point to anywhere.
  if (position + length > (await handle.stat()).size) throw damaged(archive, 'it ends too early')
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, position)
  if (bytesRead < length) throw damaged(archive, 'it ends too early')
  return buffer
}

async function* checkedBytes(archive: string, member: Member, start: number): AsyncGenerator<Buffer> {
  let [size, crc] = [0, 0]
  try {
    for await (const chunk of unpacked(archive, member, start)) {
      size += chunk.length
      crc = crc32(chunk, crc)
      yield chunk
    }
  } catch (error) {
    throw damaged(archive, errorMessage(error), error)
  }
  if (size !== member.size) throw damaged(archive, `${member.name} has ${size} bytes, not ${member.size}`)
  if (crc !== member.crc) throw damaged(archive, `the checksum of ${member.name} is wrong`)
}

async function* unpacked(archive: string, { method, packedSize }: Member, start: number): AsyncGenerator<Buffer> {
  if (packedSize === 0) return
  const packed = createReadStream(archive, { start, end: start + packedSize - 1 })
  if (method === STORED) return yield* packed
  const inflated = createInflateRaw()
  packed.on('error', (error) => inflated.destroy(error))
  yield* packed.pipe(inflated)
}

function damaged(archive: string, why: string, cause?: unknown): UserError {
  return new UserError(
    `${archive} is cut short or damaged: ${why}. Copy it anew.`,
    cause === undefined ? undefined : { cause },
  )
}
