import { readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { makeFolder } from '../../configs/folder.ts'
import { errorCode, errorMessage, UserError } from '../../configs/user-error.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { migrate } from './schema.ts'

export type Row = Record<string, SQLOutputValue>

/** Rows of (key, value) as an object, in which `__proto__` is a key like any other. */
export function pairs(rows: Row[]): Record<string, string> {
  return Object.fromEntries(rows.map((row) => [String(row.key), String(row.value)]))
}

/** One connection to a registry's file. Every error a user can mend arrives as a UserError. */
export interface Database {
  all(sql: string, ...values: SQLInputValue[]): Row[]
  get(sql: string, ...values: SQLInputValue[]): Row | undefined
  /** @returns rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number
  /** All reads of `body` see one state. */
  read<T>(body: () => T): T
  /**
   * `body` is written whole or, when it throws, not at all. Writers of all processes take turns.
   *
   * Everything survives any crash of processes. A `decision` (a registration, an alias, an artifact) also survives a
   * power cut once this returns; the rest does so with the next decision or checkpoint.
   */
  write<T>(body: () => T, kind?: 'decision'): T
  close(): void
}

/** A writer waits this long for another one's transaction, ms. Those take milliseconds: a longer one means a hang. */
const BUSY_MS = 10_000

/** SQLite's primary result codes that a user can mend (sqlite.org/rescode.html). */
const BUSY = 5
const READONLY = 8
const IOERR = 10
const CORRUPT = 11
const FULL = 13
const CANTOPEN = 14
const NOTADB = 26

const MESSAGES: Record<number, (file: string) => string> = {
  [BUSY]: (file) => `${file} has been locked by another process for ${BUSY_MS / 1000} s. Find it with: fuser ${file}`,
  [READONLY]: (file) => `${file} cannot be written. Give this user the right: chmod u+w ${file} ${dirname(file)}`,
  [IOERR]: (file) =>
    `${file} cannot be read or written: the disk reports an error. Check it with: df -h ${dirname(file)}`,
  [CORRUPT]: damaged,
  [FULL]: (file) =>
    `The disk of ${file} is full; nothing was written. Make room, then repeat the command: df -h ${dirname(file)}`,
  [CANTOPEN]: (file) => `${file} cannot be opened. Check the folder: ls -l ${dirname(file)}`,
  [NOTADB]: damaged,
}

function damaged(file: string): string {
  const aside = join(dirname(file), 'damaged')
  const move = `mkdir ${aside} && mv ${file}* ${aside}`
  const recover = `sqlite3 ${join(aside, basename(file))} .recover | sqlite3 ${file}`
  return (
    `${file} is damaged: not a readable SQLite database. Restore it from a backup, ` +
    `or move it aside and salvage what can be read: ${move} && ${recover}`
  )
}

/**
 * Opens `folder`/registry.db, made when missing.
 *
 * - WAL mode: readers, such as a scorer that watches its champion, never wait for a writer.
 * - `synchronous = NORMAL`: in WAL mode it cannot damage the file and loses nothing when a process dies. A power cut
 *   may lose the last transactions. For the metrics of a running trial that is a fair price for an fsync saved on
 *   each.
 * - Decisions are written with `synchronous = FULL`.
 *
 * @throws UserError when the folder or file cannot be used, is damaged, or was written by a newer fd.
 */
export function openDatabase(folder: string, now: EpochMs): Database {
  const file = join(folder, 'registry.db')
  try {
    makeFolder(join(folder, 'artifacts'))
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(
      `The registry's folder ${folder} cannot be made (${errorMessage(error)}). Choose another: FD_HOME=FOLDER`,
      { cause: error },
    )
  }
  const connection = guard(file, () => new DatabaseSync(file, { timeout: BUSY_MS, enableForeignKeyConstraints: true }))
  try {
    guard(file, () => {
      connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
      migrate(connection, file, now, () => refuseOrphans(folder, file))
    })
  } catch (error) {
    connection.close()
    throw error
  }
  return databaseOver(connection, file)
}

/** @param connection with the newest schema. @param file named in errors. */
export function databaseOver(connection: DatabaseSync, file: string): Database {
  const prepared = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const statement = prepared.get(sql) ?? connection.prepare(sql)
    prepared.set(sql, statement)
    return statement
  }
  const transaction = <T>(begin: string, body: () => T): T => {
    connection.exec(begin)
    try {
      const result = body()
      connection.exec('COMMIT')
      return result
    } catch (error) {
      // A full disk or damage may have ended the transaction already.
      if (connection.isTransaction) connection.exec('ROLLBACK')
      throw error
    }
  }
  return {
    all: (sql, ...values) => guard(file, () => prepare(sql).all(...values)),
    get: (sql, ...values) => guard(file, () => prepare(sql).get(...values)),
    run: (sql, ...values) => guard(file, () => Number(prepare(sql).run(...values).changes)),
    read: (body) => guard(file, () => transaction('BEGIN', body)),
    write: (body, kind) =>
      guard(file, () => {
        if (kind !== 'decision') return transaction('BEGIN IMMEDIATE', body)
        connection.exec('PRAGMA synchronous = FULL')
        try {
          return transaction('BEGIN IMMEDIATE', body)
        } finally {
          connection.exec('PRAGMA synchronous = NORMAL')
        }
      }),
    close: () => {
      if (connection.isOpen) connection.close()
    },
  }
}

/** A new database beside old artifacts means that the old one was lost. To start empty would hide the loss. */
function refuseOrphans(folder: string, file: string): void {
  const artifacts = join(folder, 'artifacts')
  if (readdirSync(artifacts).every((name) => name.startsWith('.'))) return
  throw new UserError(
    `${file} is missing or empty, but ${artifacts} holds files of earlier runs. ` +
      `Restore it from a backup, or begin anew: mv ${folder} ${folder}.old`,
  )
}

/** Runs `body`; a fault of SQLite that a user can mend becomes a UserError. */
function guard<T>(file: string, body: () => T): T {
  try {
    return body()
  } catch (error) {
    const message = errorCode(error) === 'ERR_SQLITE_ERROR' ? MESSAGES[primaryCode(error)] : undefined
    if (message === undefined) throw error
    throw new UserError(message(file), { cause: error })
  }
}

/** Extended codes carry the primary one in their low byte. */
function primaryCode(error: unknown): number {
  return typeof error === 'object' && error !== null && 'errcode' in error ? Number(error.errcode) & 0xff : 0
}
