import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { errorMessage, UserError } from '../../configs/user-error.ts'

const LINE_FEED = 0x0a
const RETURN = 0x0d
const QUOTE = 0x22
const BYTE_ORDER_MARK = '\uFEFF'
export const GZIP_MAGIC = [0x1f, 0x8b]

/** What the first line of a CSV file says about the rest. */
export interface CsvHeader {
  names: string[]
  delimiter: string
  compression: 'none' | 'gzip'
}

/**
 * Reads the header: the names, quoted or not, and the delimiter, which is the one of `,` `;` tab `|` that occurs there
 * most often. Nothing else is guessed: cells are text until a schema says what they are.
 *
 * @throws UserError when the file is empty or its first line has no end within 1 MB.
 */
export async function readCsvHeader(file: string): Promise<CsvHeader> {
  const compression = startsWith(file, GZIP_MAGIC) ? 'gzip' : 'none'
  const line = await firstLine(file, compression)
  const bare = line.replaceAll(/"[^"]*"/g, '')
  const occurrences = (delimiter: string): number => bare.split(delimiter).length - 1
  const delimiter = [',', ';', '\t', '|'].reduce((best, next) => (occurrences(next) > occurrences(best) ? next : best))
  return { names: splitLine(line, delimiter), delimiter, compression }
}

/** Files that were read to their end, by path, size and time of change: a command opens the same file several times. */
const whole = new Set<string>()

/**
 * Reads a gzipped file to its end. DuckDB takes one that was cut off for a shorter one, whose last record may be cut in
 * the midst of a key.
 *
 * @throws UserError when the file ends too early or its checksum is wrong.
 */
export async function requireWholeGzip(file: string): Promise<void> {
  const { size, mtimeMs } = statSync(file)
  const mark = `${file} ${size} ${mtimeMs}`
  if (whole.has(mark)) return
  try {
    for await (const _ of bytesOf(file, 'gzip'));
  } catch (error) {
    const reason = `its compressed data cannot be read to the end (${errorMessage(error)})`
    throw new UserError(`${file} is cut short or damaged: ${reason}. Copy it anew.`, { cause: error })
  }
  whole.add(mark)
}

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

/**
 * The line of the file, from 1, on which a record begins; record 0 is the first after the header. Blank lines are not
 * records, and a quoted cell may hold line ends, so the file is read from its start. For error messages only.
 */
export async function lineOfRecord(
  file: string,
  compression: CsvHeader['compression'],
  record: number,
): Promise<number> {
  let [line, records, quoted, blank] = [1, -1, false, true]
  for await (const chunk of bytesOf(file, compression)) {
    for (const byte of chunk) {
      if (blank && byte !== LINE_FEED && byte !== RETURN) {
        if (records === record) return line
        blank = false
      }
      if (byte === QUOTE) quoted = !quoted
      if (byte !== LINE_FEED) continue
      line++
      if (quoted || blank) continue
      records++
      blank = true
    }
  }
  return line
}

async function firstLine(file: string, compression: CsvHeader['compression']): Promise<string> {
  let text = ''
  for await (const chunk of bytesOf(file, compression)) {
    text += chunk.toString('utf8')
    const end = text.indexOf('\n')
    if (end >= 0) text = text.slice(0, end)
    if (end >= 0 || text.length > 1_000_000) break
  }
  const line = text.replace(BYTE_ORDER_MARK, '').replace(/\r$/, '')
  if (line.trim() === '')
    throw new UserError(`${file} is empty: its first line must name the columns. Give another file with --data FILE.`)
  if (line.length > 1_000_000) {
    throw new UserError(
      `${file} is neither Parquet nor CSV: its first line has no end. Give another file with --data FILE.`,
    )
  }
  return line
}

function bytesOf(file: string, compression: CsvHeader['compression']): AsyncIterable<Buffer> {
  const raw = createReadStream(file)
  if (compression === 'none') return raw
  const unzipped = createGunzip()
  raw.on('error', (error) => unzipped.destroy(error))
  return raw.pipe(unzipped)
}

function splitLine(line: string, delimiter: string): string[] {
  const names: string[] = []
  let [name, quoted] = ['', false]
  for (let index = 0; index < line.length; index++) {
    const character = line[index]
    if (character === '"' && quoted && line[index + 1] === '"') {
      name += character
      index++
    } else if (character === '"') quoted = !quoted
    else if (character === delimiter && !quoted) {
      names.push(name)
      name = ''
    } else name += character
  }
  return [...names, name]
}
