import { StringDecoder } from 'node:string_decoder'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import {
  bytesOf,
  compressionOf,
  CsvQuotes,
  LINE_FEED,
  RETURN,
  unifyLineEnds,
  type Compression,
  type LineEnds,
} from './csv-bytes.ts'
import { markOf } from './temporary-copy.ts'

const BYTE_ORDER_MARK = '\uFEFF'

/** What the first line of a CSV file says about the rest. */
export interface CsvHeader {
  names: string[]
  delimiter: string
  compression: Compression
  /** Lines before the header: 1 where Excel's `sep=;` stands there, which names the delimiter. */
  skipped: number
}

/** The line that Excel writes and reads before the header. */
const SEPARATOR_LINE = /^"?sep=([,;\t|])"?$/i

/**
 * Reads the header: the names, quoted or not, and the delimiter, which is the one of `,` `;` tab `|` that occurs there
 * most often, if a line `sep=;` before it does not name it. Nothing else is guessed: cells are text until a schema says
 * what they are.
 *
 * @param path what is read, where that is not the file which errors name.
 * @throws UserError when the file is empty or its first line has no end within 1 MB.
 */
export async function readCsvHeader(file: string, path = file): Promise<CsvHeader> {
  const compression = compressionOf(path)
  const first = await lineAt(file, path, compression, 0)
  const named = SEPARATOR_LINE.exec(first)?.[1]
  const skipped = named === undefined ? 0 : 1
  const line = named === undefined ? first : await lineAt(file, path, compression, 1)
  if (line.includes('\ufffd')) throw new UserError(`${file}, line ${skipped + 1}: ${NOT_UTF8}`)
  const delimiter = named ?? mostFrequent(line)
  return { names: splitLine(line, delimiter), delimiter, compression, skipped }
}

/** What text in another encoding is, and what to do with it. */
export const NOT_UTF8 =
  'it is not UTF-8. Save the file as "CSV UTF-8" in Excel, or run: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW'

function mostFrequent(line: string): string {
  const bare = line.replaceAll(/"[^"]*"/g, '')
  const occurrences = (delimiter: string): number => bare.split(delimiter).length - 1
  return [',', ';', '\t', '|'].reduce((best, next) => (occurrences(next) > occurrences(best) ? next : best))
}

/**
 * Reads a CSV to its end and says whether DuckDB reads it as it is. It does not when ways to end a line are mixed: then
 * it fails, or drops lines in silence. It also takes a gzipped file that was cut off for a shorter one.
 *
 * @throws UserError when a gzipped file ends too early or its checksum is wrong.
 */
export async function isEven(
  file: string,
  path: string,
  { compression, delimiter, names }: CsvHeader,
): Promise<boolean> {
  const mark = markOf(path)
  const known = even.get(mark)
  if (known !== undefined) return known
  // The header's own line ends must be the first that DuckDB sees.
  const found = (await survey(file, path, compression, delimiter)) && !names.some((name) => /[\r\n]/.test(name))
  even.set(mark, found)
  return found
}

/** What `isEven` found: a command opens the same file several times. */
const even = new Map<string, boolean>()

async function survey(file: string, path: string, compression: Compression, delimiter: string): Promise<boolean> {
  let returns = false
  for await (const chunk of wholeBytes(file, path, compression)) returns ||= chunk.includes(RETURN)
  if (!returns) return true
  const ends: LineEnds = { feed: 0, return: 0, both: 0 }
  for await (const _ of unifyLineEnds(bytesOf(path, compression), delimiter, ends));
  return Math.max(ends.feed, ends.return, ends.both) === ends.feed + ends.return + ends.both
}

/** @throws UserError, once it is reached, where compressed bytes end too early or are damaged. */
async function* wholeBytes(file: string, path: string, compression: Compression): AsyncGenerator<Buffer> {
  try {
    yield* bytesOf(path, compression)
  } catch (error) {
    const reason = `its data cannot be read to the end (${errorMessage(error)})`
    throw new UserError(`${file} is cut short or damaged: ${reason}. Copy it anew.`, { cause: error })
  }
}

/**
 * The line of the file, from 1, on which a record begins; record 0 is the first after the header. Blank lines are not
 * records, and a quoted cell may hold line ends, so the file is read from its start. For error messages only.
 */
export async function lineOfRecord(
  path: string,
  { compression, delimiter, skipped }: CsvHeader,
  record: number,
): Promise<number> {
  const quotes = new CsvQuotes(delimiter)
  let [line, records, blank, returned] = [1, -1 - skipped, true, false]
  for await (const chunk of bytesOf(path, compression)) {
    for (const byte of chunk) {
      const ends = byte === LINE_FEED || byte === RETURN
      if (blank && !ends) {
        if (records === record) return line
        blank = false
      }
      quotes.see(byte)
      const pair = returned && byte === LINE_FEED
      returned = byte === RETURN
      if (!ends || pair) continue
      line++
      if (quotes.inside || blank) continue
      records++
      blank = true
    }
  }
  return line
}

/** The longest first line that is read. */
const LONGEST_HEADER = 1_000_000

/** One of the first lines of a file, by its number from 0. */
async function lineAt(file: string, path: string, compression: Compression, number: number): Promise<string> {
  const decoder = new StringDecoder('utf8')
  let text = ''
  let ends: number[] = []
  for await (const chunk of wholeBytes(file, path, compression)) {
    text += decoder.write(chunk)
    ends = lineEnds(text, number + 1)
    if (ends.length > number || text.length > LONGEST_HEADER) break
  }
  const from = number === 0 ? 0 : (ends[number - 1] ?? text.length)
  const line = text
    .slice(from, ends[number] ?? text.length)
    .replace(/^(\r\n|\r|\n)/, '')
    .replace(BYTE_ORDER_MARK, '')
  if (line.trim() === '')
    throw new UserError(`${file} is empty: its first line must name the columns. Give another file with --data FILE.`)
  if (line.length > LONGEST_HEADER) {
    throw new UserError(
      `${file} is neither Parquet nor CSV: its first line has no end. Give another file with --data FILE.`,
    )
  }
  return line
}

/** Where the first lines end, so many of them. A quoted name may hold line ends. */
function lineEnds(text: string, lines: number): number[] {
  const ends: number[] = []
  let quoted = false
  for (let at = 0; at < text.length && ends.length < lines; at++) {
    if (text[at] === '"') quoted = !quoted
    else if (!quoted && (text[at] === '\n' || text[at] === '\r')) {
      ends.push(at)
      if (text[at] === '\r' && text[at + 1] === '\n') at++
    }
  }
  return ends
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
