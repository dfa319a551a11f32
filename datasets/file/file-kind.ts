import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { UserError } from '../../configs/user-error.ts'
import { bytesOf, compressionOf } from './csv-bytes.ts'

const UNPACK = 'unpack it'
const AS_PARQUET = 'write it as Parquet'
const AS_ROWS = 'write its rows as CSV or Parquet'

/** Files that people have and that are no table of ours, by their first bytes, and what to do with them. */
const BINARY: [magic: number[] | string, kind: string][] = [
  ['PAR1', `Parquet that was gzipped as a whole: ${UNPACK}`],
  ['PARE', 'encrypted Parquet: write it without encryption'],
  ['PK\u0003\u0004', `a ZIP archive: ${UNPACK}`],
  ['PK\u0005\u0006', 'a ZIP archive without files'],
  [[0x1f, 0x8b], `gzipped more than once: ${UNPACK}`],
  ['BZh', `compressed by bzip2: ${UNPACK}`],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], `compressed by xz: ${UNPACK}`],
  [[0x28, 0xb5, 0x2f, 0xfd], `compressed by Zstandard: ${UNPACK}`],
  ["7z\u00bc\u00af'", `a 7-Zip archive: ${UNPACK}`],
  [[0xd0, 0xcf, 0x11, 0xe0], 'an old Excel workbook: save the sheet as CSV'],
  ['%PDF-', 'a PDF: get the table that it was printed from'],
  [[0xff, 0xfe, 0, 0], 'text in UTF-32: save it as UTF-8'],
  [[0, 0, 0xfe, 0xff], 'text in UTF-32: save it as UTF-8'],
  [[0xff, 0xfe], 'text in UTF-16: save it as UTF-8'],
  [[0xfe, 0xff], 'text in UTF-16: save it as UTF-8'],
  ['SQLite format 3', 'an SQLite database: export its table as CSV'],
  ['ARROW1', `an Arrow or Feather file: ${AS_PARQUET}`],
  ['ORC', `an ORC file: ${AS_PARQUET}`],
  ['Obj\u0001', `an Avro file: ${AS_PARQUET}`],
  [[0x89, 0x48, 0x44, 0x46], 'an HDF5 file: write its table as Parquet'],
  ...[2, 3, 4, 5].map((version): [number[], string] => [[0x80, version], `a Python pickle: ${AS_PARQUET}`]),
]

/** The same of text, after a byte order mark and blanks. Names of columns may begin with a bracket, as `[id]` does. */
const TEXT: [begins: RegExp, kind: string][] = [
  [/^(\{\s*["}]|\[\s*[[{"\]])/, `JSON: ${AS_ROWS}`],
  [
    /^<(!doctype\s+html|html|head|body|table)\b/i,
    'a web page, perhaps one that asks to sign in: download the file itself',
  ],
  [/^<(\?xml|!doctype)\b/i, 'XML: export its table as CSV'],
  [/^version https:\/\/git-lfs/, 'what Git keeps instead of a large file: get the file with git lfs pull'],
]

/** A tar archive has its mark behind the first name in it. */
const TAR = { mark: 'ustar', at: 257 }

/** How much of a file is looked at. */
const LOOK = 4096

/**
 * Refuses what is no table, before anything of it is shown. A gzipped file is looked at as what it holds.
 *
 * @param path what is looked at, where that is not the file which the error names.
 * @throws UserError that names the kind of file by its first bytes; also for bytes that are no text at all.
 */
export async function refuseForeign(file: string, path = file): Promise<void> {
  const kind = foreignKind(await firstBytes(path))
  if (kind === undefined) return
  throw new UserError(
    `${file} is ${kind}. fd reads CSV and Parquet, a CSV also gzipped or zipped: give such a file with --data FILE.`,
  )
}

/** What a file is that begins so; undefined where it may be a CSV. */
function foreignKind(head: Buffer): string | undefined {
  const binary = BINARY.find(([magic]) => {
    const bytes = typeof magic === 'string' ? Buffer.from(magic, 'latin1') : Buffer.from(magic)
    return head.subarray(0, bytes.length).equals(bytes)
  })
  if (binary !== undefined) return binary[1]
  if (head.toString('latin1', TAR.at).startsWith(TAR.mark)) return `a tar archive: ${UNPACK}`
  if (/^(\0[^\0]|[^\0]\0){4}/.test(head.toString('latin1'))) return 'text in UTF-16: save it as UTF-8'
  if (head.includes(0)) return 'binary data, and no text'
  // A TextDecoder leaves out the byte order mark.
  const text = new TextDecoder().decode(head).trimStart()
  return TEXT.find(([begins]) => begins.test(text))?.[1]
}

/** What comes before the place from which a damaged file cannot be unpacked: whoever reads it says so. */
async function firstBytes(path: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of bytesOf(path, compressionOf(path))) {
      chunks.push(chunk)
      size += chunk.length
      if (size >= LOOK) break
    }
  } catch {
    return Buffer.concat(chunks)
  }
  return Buffer.concat(chunks).subarray(0, LOOK)
}

/**
 * The absolute path of a file that can be read more than once.
 *
 * @param advice what to do, the end of the message.
 * @throws UserError when there is none, or when it is a folder or a pipe.
 */
export function requireFile(file: string, advice: string): string {
  const path = resolve(file)
  if (!existsSync(path)) throw new UserError(`There is no file ${path}. ${advice}`)
  const found = statSync(path)
  if (found.isFile()) return path
  if (found.isDirectory()) throw new UserError(`${path} is a folder, and a table is one file. ${advice}`)
  throw new UserError(
    `${path} is a pipe or a device. A table is read more than once, so it must be a file: write it to one first.`,
  )
}
