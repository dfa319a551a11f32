import { closeSync, createReadStream, openSync, readSync } from 'node:fs'
import { createGunzip } from 'node:zlib'

export const LINE_FEED = 0x0a
export const RETURN = 0x0d
const QUOTE = 0x22
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]
const GZIP_MAGIC = [0x1f, 0x8b]

/** How a CSV file is packed. */
export type Compression = 'none' | 'gzip'

/** Whether the file begins with these bytes. */
export function startsWith(file: string, magic: number[]): boolean {
  const bytes = Buffer.alloc(magic.length)
  const descriptor = openSync(file, 'r')
  try {
    return readSync(descriptor, bytes) === magic.length && bytes.equals(Buffer.from(magic))
  } finally {
    closeSync(descriptor)
  }
}

/** How the file is packed, by its first bytes. */
export function compressionOf(file: string): Compression {
  return startsWith(file, GZIP_MAGIC) ? 'gzip' : 'none'
}

/** The bytes of a file, unpacked. */
export function bytesOf(file: string, compression: Compression): AsyncIterable<Buffer> {
  const raw = createReadStream(file, { highWaterMark: 1 << 18 })
  if (compression === 'none') return raw
  const unzipped = createGunzip({ chunkSize: 1 << 18 })
  raw.on('error', (error) => unzipped.destroy(error))
  // Who has seen enough closes the one, which would leave the other open.
  unzipped.on('close', () => raw.destroy())
  return raw.pipe(unzipped)
}

/**
 * Follows the bytes of a CSV, to know whether a byte stands within a quoted cell. As in DuckDB, a cell is quoted when
 * its first byte is a quote, and a quote further on in a cell that is not means itself.
 */
export class CsvQuotes {
  /** Whether the bytes so far end within quotes. */
  inside = false
  #quoted = false
  #starts = true
  readonly #delimiter: number

  constructor(delimiter: string) {
    this.#delimiter = delimiter.charCodeAt(0)
  }

  see(byte: number): void {
    if (byte === QUOTE) {
      // The two quotes that stand for one within a cell leave it and enter it again.
      if (this.#starts) this.#quoted = true
      if (this.#quoted) this.inside = !this.inside
      this.#starts = false
    } else if (!this.inside) {
      // A byte order mark does not count as the beginning of a cell.
      const ends = byte === this.#delimiter || byte === LINE_FEED || byte === RETURN
      this.#starts = ends || (this.#starts && BYTE_ORDER_MARK.includes(byte))
      if (ends) this.#quoted = false
    }
  }
}

/** How many lines of a CSV end in which way, outside of quoted cells. */
export interface LineEnds {
  feed: number
  return: number
  both: number
}

/**
 * The bytes of a CSV with a line feed at the end of each line, whichever ends were mixed in it. A byte order mark goes.
 * Line ends within quoted cells are part of the cell and stay. Those in the header go, because DuckDB takes the first
 * end that it sees for that of all lines.
 *
 * @param found counts the ends as they were.
 */
export async function* unifyLineEnds(
  bytes: AsyncIterable<Buffer>,
  delimiter: string,
  found: LineEnds = { feed: 0, return: 0, both: 0 },
): AsyncGenerator<Buffer> {
  const quotes = new CsvQuotes(delimiter)
  let [read, header] = [0, true]
  // Whether the last byte was a return that ended a line: a line feed after it belongs to the same end.
  let returned = false
  for await (const chunk of bytes) {
    const unified = Buffer.allocUnsafe(chunk.length)
    let size = 0
    for (const byte of chunk) {
      quotes.see(byte)
      if (read < BYTE_ORDER_MARK.length && byte === BYTE_ORDER_MARK[read++]) continue
      const within = quotes.inside && !header
      const pair = returned && byte === LINE_FEED
      returned = byte === RETURN && !within
      if (pair) {
        found.return--
        found.both++
        continue
      }
      if (returned) found.return++
      else if (byte === LINE_FEED && !within) found.feed++
      if ((returned || byte === LINE_FEED) && !quotes.inside) header = false
      unified[size++] = returned ? LINE_FEED : byte
    }
    yield unified.subarray(0, size)
  }
}
