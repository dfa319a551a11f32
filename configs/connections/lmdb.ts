import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  fstatSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { open, type Database, type RootDatabase } from 'lmdb'
import { errorCode, errorMessage, UserError } from '../user-error.ts'

/** A named database of an environment: bytes to bytes, keys in `memcmp` order. */
export type Bytes = Database<Buffer, Buffer>

export interface EnvironmentOptions {
  /**
   * true (the default): `write` returns when the disk has the commit, and nobody sees it earlier, so what was read from
   * one environment and written to another survives power loss in that order. false: commits survive the death of any
   * process, but power loss may lose or damage the environment; for what can be rebuilt.
   */
  sync?: boolean
}

/** One LMDB environment: a folder with `data.mdb` and `lock.mdb`, shared by any number of processes, one of which writes at a time. */
export interface Environment {
  folder: string
  /** `FOLDER/data.mdb`. */
  file: string
  /** Opens a named database, making it if missing. Never call it inside `write`: an abort would leave a handle to nothing. */
  database(name: string): Bytes
  /** Runs `action` in one write transaction and commits. When it throws, or the disk is full, nothing is written. Synchronous: `action` must not await. */
  write<T>(action: () => T): T
  /** Runs `action` on the newest snapshot; the errors of LMDB name the file. Buffers of `getBinaryFast` are reused by the next get. */
  read<T>(action: () => T): T
  close(): Promise<void>
}

/** `TransactionFlags.ABORTABLE | SYNCHRONOUS_COMMIT` */
const COMMIT_NOW: number = 3
const MOST_DATABASES = 256
/** Room for more readers than LMDB asks for by default (126 slots of 64 bytes and a header). */
const LOCK_FILE_BYTES = 16_384
const META_BYTES = 160
const LMDB_MAGIC = 0xbeefc0de
const PAGE_SIZES = new Set([4096, 8192, 16_384, 32_768, 65_536])
/** The most zeros appended to a short file; a sound one is never shorter by so much, its transactions being small. */
const MOST_MISSING_BYTES = 64 * 1024 * 1024

/**
 * Opens the environment in `folder`, making both when missing.
 *
 * @throws UserError when `data.mdb` is not an LMDB file or is damaged, or the disk is full, or the folder is not ours to write; the file is named.
 */
export function openEnvironment(folder: string, options: EnvironmentOptions = {}): Environment {
  const file = join(folder, 'data.mdb')
  const root = guarded(file, () => {
    mkdirSync(folder, { recursive: true })
    reserveLockFile(folder)
    checkFile(file)
    return open<Buffer, Buffer>(folder, {
      keyEncoding: 'binary',
      encoding: 'binary',
      maxDbs: MOST_DATABASES,
      overlappingSync: false,
      noSync: options.sync === false,
    })
  })
  return {
    folder,
    file,
    database: (name) =>
      guarded(file, () => root.openDB<Buffer, Buffer>(name, { keyEncoding: 'binary', encoding: 'binary' })),
    write: (action) => guarded(file, () => root.transactionSync(action, COMMIT_NOW)),
    read: (action) =>
      guarded(file, () => {
        root.resetReadTxn()
        return action()
      }),
    close: () => closeEnvironment(root),
  }
}

async function closeEnvironment(root: RootDatabase<Buffer, Buffer>): Promise<void> {
  await root.close()
}

function guarded<T>(file: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw explained(error, file)
  }
}

/** What an error of LMDB or of the file system at `file` means to the user; a UserError or a bug of ours passes as it is. */
export function explained(error: unknown, file: string): unknown {
  if (error instanceof UserError) return error
  const message = errorMessage(error)
  const code = errorCode(error)
  // LMDB calls a write that a full disk cut short an input/output error.
  if (
    code === 'ENOSPC' ||
    code === 'EDQUOT' ||
    /MDB_MAP_FULL|No space left|quota exceeded|Input\/output error/i.test(message)
  ) {
    return new UserError(
      `The disk is full: ${file} cannot grow (${message}). Nothing that was written is lost. Free some space (df -h) and run the command again.`,
      { cause: error },
    )
  }
  if (
    /MDB_INVALID|MDB_CORRUPTED|MDB_PAGE_NOTFOUND|MDB_VERSION_MISMATCH|MDB_PANIC|MDB_INCOMPATIBLE|MDB_BAD_TXN/.test(
      message,
    )
  )
    return damaged(file, message, error)
  if (
    code === 'EACCES' ||
    code === 'EPERM' ||
    code === 'EROFS' ||
    /Permission denied|Read-only file system/.test(message)
  ) {
    return new UserError(`No permission to write ${file}. Change its owner, or set FD_HOME to a folder of yours.`, {
      cause: error,
    })
  }
  if (code === 'ENOTDIR' || code === 'EEXIST')
    return new UserError(`${file} cannot be made: a part of the path is a file. Set FD_HOME to another folder.`, {
      cause: error,
    })
  return error
}

function damaged(file: string, reason: string, cause?: unknown): UserError {
  return new UserError(
    `${file} is damaged (${reason}). Restore it from a copy, or move its folder away and start again, or set FD_HOME to another folder.`,
    { cause },
  )
}

/**
 * LMDB makes `lock.mdb` sparse and writes it through a memory map: on a full disk the process would die of SIGBUS.
 * Written beforehand, a full disk is an ordinary error. The link makes it appear whole, or not at all.
 */
function reserveLockFile(folder: string): void {
  const lock = join(folder, 'lock.mdb')
  if (existsSync(lock)) return
  const draft = `${lock}.${process.pid}`
  try {
    writeFileSync(draft, Buffer.alloc(LOCK_FILE_BYTES))
    linkSync(draft, lock)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  } finally {
    if (existsSync(draft)) unlinkSync(draft)
  }
}

/**
 * liblmdb as lmdb-js builds it dies of a segmentation fault when asked to open something else: the first look is ours.
 *
 * A file that was cut short would kill the process (SIGBUS) at the first read of a missing page. Lengthened with zeros,
 * LMDB and the checksums of the values find the hole and raise an error. A sound file may also be a little short (its last
 * pages free). Appending never overwrites what another process writes at this moment; truncating to a length could.
 */
function checkFile(file: string): void {
  if (!existsSync(file)) return
  const descriptor = openSync(file, 'a+')
  try {
    const size = fstatSync(descriptor).size
    if (size === 0) return
    const missing = neededLength(descriptor, file) - size
    if (missing > MOST_MISSING_BYTES) throw damaged(file, `${missing} bytes are missing at its end`)
    if (missing > 0) writeSync(descriptor, Buffer.alloc(missing))
  } finally {
    closeSync(descriptor)
  }
}

/** Bytes up to the last page that the newer of the two meta pages names. */
function neededLength(descriptor: number, file: string): number {
  const first = readMeta(descriptor, 0, file)
  const second = readMeta(descriptor, first.pageSize, file)
  const newest = second.transaction > first.transaction ? second : first
  return (newest.lastPage + 1) * first.pageSize
}

/** Fields of a meta page as liblmdb lays them out on 64-bit little-endian machines: magic at 24, page size 48, last page 144, transaction 152. */
function readMeta(
  descriptor: number,
  position: number,
  file: string,
): { pageSize: number; lastPage: number; transaction: bigint } {
  const meta = Buffer.alloc(META_BYTES)
  const read = readSync(descriptor, meta, 0, META_BYTES, position)
  const pageSize = meta.readUInt32LE(48)
  if (read < META_BYTES || meta.readUInt32LE(24) !== LMDB_MAGIC || !PAGE_SIZES.has(pageSize))
    throw damaged(file, 'it does not begin as an LMDB file')
  return { pageSize, lastPage: Number(meta.readBigUInt64LE(144)), transaction: meta.readBigUInt64LE(152) }
}
