import {
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readSync,
  fstatSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { open, type Database, type RootDatabase } from 'lmdb'
import { makeFolder } from '../folder.ts'
import { errorCode, errorMessage, UserError } from '../user-error.ts'

/** A named database of an environment: bytes to bytes, keys in `memcmp` order. */
export type Bytes = Database<Buffer, Buffer>

export interface EnvironmentOptions {
  /**
   * true (the default): `write` returns when the disk has the commit, and nobody sees the commit earlier. So data that
   * were read from one environment and written to another survive power loss in that order.
   *
   * false: commits survive the death of any process, but power loss may lose or damage the environment. For data that
   * can be rebuilt.
   */
  sync?: boolean
}

/**
 * One LMDB environment: a folder with `data.mdb` and `lock.mdb`. Any number of processes may share it; one writes at a
 * time.
 */
export interface Environment {
  folder: string
  /** `FOLDER/data.mdb`. */
  file: string
  /**
   * Opens a named database and makes it when missing. Never call it inside `write`: an abort would leave a handle to a
   * database that does not exist.
   */
  database(name: string): Bytes
  /**
   * Runs `action` in one write transaction and commits. When it throws, or the disk is full, nothing is written.
   * `action` is synchronous: it must not await.
   */
  write<T>(action: () => T): T
  /** Runs `action` on the newest snapshot. The next get reuses the buffer of an earlier `getBinaryFast`. */
  read<T>(action: () => T): T
  close(): Promise<void>
}

/** A key that the root does not have. Its keys are the names of databases. */
const NO_DATABASE = Buffer.of(0)
/** `TransactionFlags.ABORTABLE | SYNCHRONOUS_COMMIT` */
const COMMIT_NOW: number = 3
const MOST_DATABASES = 256
/** More room than LMDB's default number of readers takes (126 slots of 64 bytes and a header). */
const LOCK_FILE_BYTES = 16_384
const META_BYTES = 160
const LMDB_MAGIC = 0xbeefc0de
const PAGE_SIZES = new Set([4096, 8192, 16_384, 32_768, 65_536])
/**
 * The most zeros appended to a short file. A sound one is never shorter by so much, because our transactions are small.
 */
const MOST_MISSING_BYTES = 64 * 1024 * 1024

/**
 * Opens the environment in `folder` and makes both when missing.
 *
 * @throws UserError naming the file when `data.mdb` is damaged or not an LMDB file, the disk is full, or the folder
 * cannot be written. `database`, `write` and `read` throw the same.
 */
export function openEnvironment(folder: string, options: EnvironmentOptions = {}): Environment {
  const file = join(folder, 'data.mdb')
  const root = guarded(file, () => {
    makeFolder(folder)
    reserveLockFile(folder)
    checkFile(file)
    return open<Buffer, Buffer>(folder, {
      keyEncoding: 'binary',
      encoding: 'binary',
      // A name with a dot is a folder too. LMDB would take it for a file.
      noSubdir: false,
      maxDbs: MOST_DATABASES,
      overlappingSync: false,
      noSync: options.sync === false,
    })
  })
  guarded(file, () => tryToRead(root, file))
  return {
    folder,
    file,
    database: (name) =>
      guarded(file, () => root.openDB<Buffer, Buffer>(name, { keyEncoding: 'binary', encoding: 'binary' })),
    write: (action) => guarded(file, () => root.transactionSync(action, COMMIT_NOW)),
    read: (action) =>
      guarded(file, () => {
        root.resetReadTxn()
        // The first read renews the transaction. Where that fails a get throws. A cursor of lmdb-js ends as if there
        // were nothing more, and a scorer would take that for the end of its topic.
        root.get(NO_DATABASE)
        return action()
      }),
    close: () => closeEnvironment(root),
  }
}

/**
 * Reads once. LMDB tells its readers apart by their pids, so a process cannot read beside one of the same pid from
 * another container. lmdb-js waits for ten seconds and then reads with a transaction that is none.
 *
 * @throws UserError when this process cannot become a reader.
 */
function tryToRead(root: RootDatabase<Buffer, Buffer>, file: string): void {
  try {
    root.get(NO_DATABASE)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    forgetReadTxn(root)
    throw new UserError(
      `${file} is in use by a process of another container that has the pid of this one, ${process.pid}: ` +
        'LMDB cannot tell them apart. Let the containers share their pids (docker run --pid=container:NAME, in ' +
        'Compose `pid: service:NAME`), or use Kafka and Redis (FD_EVENT_LOG, FD_ONLINE_STORE).',
      { cause: error },
    )
  }
}

/** Takes the transaction that is none out of lmdb-js, which would look at it on its next turn and end the process. */
function forgetReadTxn(root: RootDatabase<Buffer, Buffer>): void {
  try {
    root.resetReadTxn()
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
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

/**
 * A fault that LMDB or the file system tells of: by the system's code or in the message. The first that fits counts.
 */
interface Fault {
  codes: readonly string[]
  message?: RegExp
  explain: (file: string, message: string) => string
}

const FAULTS: readonly Fault[] = [
  {
    codes: ['ENOSPC', 'EDQUOT'],
    // When a full disk cuts a write short, LMDB calls it an input/output error.
    message: /MDB_MAP_FULL|No space left|quota exceeded|Input\/output error/i,
    explain: (file, message) =>
      `The disk is full: ${file} cannot grow (${message}). Nothing that was written is lost. ` +
      'Free some space (df -h) and run the command again.',
  },
  {
    codes: [],
    message: /MDB_(INVALID|CORRUPTED|PAGE_NOTFOUND|VERSION_MISMATCH|PANIC|INCOMPATIBLE|BAD_TXN)/,
    explain: damage,
  },
  {
    codes: ['EACCES', 'EPERM', 'EROFS'],
    message: /Permission denied|Read-only file system/,
    explain: (file) => `No permission to write ${file}. Change its owner, or set FD_HOME to a folder of yours.`,
  },
  {
    codes: ['ENOTDIR', 'EEXIST'],
    explain: (file) => `${file} cannot be made: a part of the path is a file. Set FD_HOME to another folder.`,
  },
]

/**
 * What an error of LMDB or of the file system at `file` means to the user. A UserError or a bug of ours passes as it
 * is.
 */
export function explained(error: unknown, file: string): unknown {
  if (error instanceof UserError) return error
  const message = errorMessage(error)
  const code = errorCode(error) ?? ''
  const fault = FAULTS.find((known) => known.codes.includes(code) || known.message?.test(message) === true)
  return fault === undefined ? error : new UserError(fault.explain(file, message), { cause: error })
}

function damaged(file: string, reason: string): UserError {
  return new UserError(damage(file, reason))
}

function damage(file: string, reason: string): string {
  return (
    `${file} is damaged (${reason}). ` +
    'Restore it from a copy, or move its folder away and start again, or set FD_HOME to another folder.'
  )
}

/**
 * Writes `lock.mdb` before LMDB does. LMDB makes it sparse and writes it through a memory map, so on a full disk the
 * process would die of SIGBUS. Written here, a full disk is an ordinary error. The link makes the file appear whole or
 * not at all.
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
 * Checks `data.mdb` before LMDB opens it, because liblmdb as lmdb-js builds it dies of a segmentation fault on a file
 * of something else.
 *
 * A file that was cut short would kill the process (SIGBUS) at the first read of a missing page. This function
 * lengthens it with zeros, so that LMDB and the checksums of the values find the hole and raise an error. A sound file
 * may also be a little short, when its last pages are free. Appending never overwrites what another process writes at
 * this moment, which truncating to a length could.
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

interface MetaPage {
  pageSize: number
  lastPage: number
  transaction: bigint
}

/**
 * Reads a meta page as liblmdb lays it out on 64-bit little-endian machines: magic at byte 24, page size at 48, last
 * page at 144, transaction at 152.
 */
function readMeta(descriptor: number, position: number, file: string): MetaPage {
  const meta = Buffer.alloc(META_BYTES)
  const read = readSync(descriptor, meta, 0, META_BYTES, position)
  const pageSize = meta.readUInt32LE(48)
  if (read < META_BYTES || meta.readUInt32LE(24) !== LMDB_MAGIC || !PAGE_SIZES.has(pageSize))
    throw damaged(file, 'it does not begin as an LMDB file')
  return { pageSize, lastPage: Number(meta.readBigUInt64LE(144)), transaction: meta.readBigUInt64LE(152) }
}
