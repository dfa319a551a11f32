import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { UserError } from '../../configs/user-error.ts'

/** Files that people have and that are no table of ours, by their first bytes, and what to do with them. */
const FOREIGN: [magic: number[] | string, kind: string][] = [
  ['PK\u0003\u0004', 'a ZIP archive: unpack it'],
  ['PK\u0005\u0006', 'a ZIP archive without files'],
  [[0xd0, 0xcf, 0x11, 0xe0], 'an old Excel workbook: save the sheet as CSV'],
  ['BZh', 'compressed by bzip2: unpack it'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'compressed by xz: unpack it'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'compressed by Zstandard: unpack it'],
  ["7z\u00bc\u00af'", 'a 7-Zip archive: unpack it'],
  [[0xff, 0xfe, 0, 0], 'text in UTF-32: save it as UTF-8'],
  [[0xff, 0xfe], 'text in UTF-16: save it as UTF-8'],
  [[0xfe, 0xff], 'text in UTF-16: save it as UTF-8'],
  ['SQLite format 3', 'an SQLite database: export its table as CSV'],
  ['ARROW1', 'an Arrow or Feather file: write it as Parquet'],
  ['ORC', 'an ORC file: write it as Parquet'],
  ['Obj\u0001', 'an Avro file: write it as Parquet'],
  [[0x89, 0x48, 0x44, 0x46], 'an HDF5 file: write its table as Parquet'],
  ['{"', 'JSON: write its rows as CSV or Parquet'],
  ['[{', 'JSON: write its rows as CSV or Parquet'],
  ['<!DOCTYPE', 'a web page, perhaps one that asks to sign in: download the file itself'],
  ['<html', 'a web page, perhaps one that asks to sign in: download the file itself'],
  ['<?xml', 'XML: export its table as CSV'],
  ['version https://git-lfs', 'what Git keeps instead of a large file: get the file with git lfs pull'],
  ...[2, 3, 4, 5].map((version): [number[], string] => [[0x80, version], 'a Python pickle: write it as Parquet']),
]

/** How much of a file is looked at. */
const LOOK = 4096

/**
 * Refuses what is no table, before anything of it is shown.
 *
 * @param path what is looked at, where that is not the file which the error names.
 * @throws UserError that names the kind of file by its first bytes; also for bytes that are no text at all.
 */
export function refuseForeign(file: string, path = file): void {
  const head = firstBytes(path, LOOK)
  const begins = (magic: number[] | string): boolean => {
    const bytes = typeof magic === 'string' ? Buffer.from(magic, 'latin1') : Buffer.from(magic)
    return head.subarray(0, bytes.length).equals(bytes)
  }
  const foreign = FOREIGN.find(([magic]) => begins(magic))
  const kind = foreign?.[1] ?? (head.includes(0) && !begins([0x1f, 0x8b]) ? 'binary data, and no text' : undefined)
  if (kind === undefined) return
  throw new UserError(
    `${file} is ${kind}. fd reads CSV and Parquet, a CSV also gzipped or zipped: give such a file with --data FILE.`,
  )
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

function firstBytes(file: string, most: number): Buffer {
  const bytes = Buffer.alloc(most)
  const descriptor = openSync(file, 'r')
  try {
    return bytes.subarray(0, readSync(descriptor, bytes))
  } finally {
    closeSync(descriptor)
  }
}
