import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { environmentWith } from '../../configs/config.ts'
import type { Variables } from '../../configs/credentials.ts'
import { makeFolder } from '../../configs/folder.ts'
import { errorCode } from '../../configs/user-error.ts'

/** A command that becomes a server. It must stay in the foreground. */
export interface Launch {
  command: string
  args: string[]
  /** Variables on top of ours. Secrets go here, because every user of the machine can see arguments. */
  env?: Variables
}

/** Identifies a process beyond its pid, which the system may give to another program later. */
export interface ProcessIdentity {
  pid: number
  /** When it started, as the system writes it; compared for equality only. */
  started: string
}

/** Two lines: the pid, and when it started. */
const PID_FILE = 'pid'
const LOG_FILE = 'log'
/** A log longer than this is renamed to `log.1` at the next start. */
const MOST_LOG_BYTES = 16 * 1024 * 1024
const STOP_POLL_MS = 50
const LOCK_POLL_MS = 50
const LOG_POLL_MS = 200

/** Where the server in `folder` writes its stdout and stderr. */
function logFile(folder: string): string {
  return join(folder, LOG_FILE)
}

/** Whether a server was ever started in `folder`. */
export function hasLog(folder: string): boolean {
  return existsSync(logFile(folder))
}

/** The last lines of a server's log, oldest first; none when it never ran, or has said nothing. */
export function lastLogLines(folder: string, lines: number): string[] {
  // slice(-0) would be all of them.
  if (!hasLog(folder) || lines === 0) return []
  const text = readFileSync(logFile(folder), 'utf8').trimEnd()
  return text === '' ? [] : text.split('\n').slice(-lines)
}

/**
 * Calls `print` with each whole line that is added to a server's log from now on, until `signal` is aborted. When the
 * log was renamed meanwhile, it goes on at the start of the new one.
 */
export async function followLog(folder: string, print: (line: string) => void, signal: AbortSignal): Promise<void> {
  const file = logFile(folder)
  let position = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  let rest = Buffer.alloc(0)
  while (!signal.aborted) {
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
    if (size < position) position = 0
    if (size > position) {
      const bytes = Buffer.concat([rest, readBetween(file, position, size)])
      position = size
      const end = bytes.lastIndexOf(0x0a) + 1
      rest = bytes.subarray(end)
      const lines = end > 0 ? bytes.toString('utf8', 0, end - 1).split('\n') : []
      for (const line of lines) print(line)
    }
    await sleep(LOG_POLL_MS)
  }
}

function readBetween(file: string, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start)
  const descriptor = openSync(file, 'r')
  try {
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, start))
  } finally {
    closeSync(descriptor)
  }
}

/** The process that was started in `folder` and still runs. */
export function runningProcess(folder: string): ProcessIdentity | undefined {
  const identity = readIdentity(join(folder, PID_FILE))
  return identity !== undefined && startOf(identity.pid) === identity.started ? identity : undefined
}

function readIdentity(file: string): ProcessIdentity | undefined {
  try {
    const [pid, started] = readFileSync(file, 'utf8').split('\n')
    return Number.isInteger(Number(pid)) && Number(pid) > 1 && started !== undefined
      ? { pid: Number(pid), started }
      : undefined
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** When a process started; undefined when no process has this pid, or it is a zombie. */
export function startOf(pid: number): string | undefined {
  if (process.platform !== 'linux') {
    const found = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' })
    return found.status === 0 ? found.stdout.trim() : undefined
  }
  try {
    // The second field is the program's name in parentheses, which may contain spaces and parentheses. So fields are
    // counted from behind the last closing one.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined
    throw error
  }
}

/**
 * Runs `action` while nobody else, in this process or another, is in an action of the same `folder`. Of two
 * `fd services up` at once, the second waits for the first and then finds the server running. It does not wait forever:
 * every wait of the first is bounded.
 *
 * The lock is the system's own, by way of an SQLite file in which nothing is written. So it ends with its process,
 * however that ends, and nobody must judge whether a lock is still somebody's.
 */
export async function exclusively<T>(folder: string, action: () => Promise<T>): Promise<T> {
  makeFolder(folder, 0o700)
  const lock = new DatabaseSync(join(folder, 'lock.db'))
  try {
    while (!takeLock(lock)) await sleep(LOCK_POLL_MS)
    return await action()
  } finally {
    lock.close()
  }
}

/** SQLite's result code for a lock that another connection has. */
const SQLITE_BUSY = 5

/** False while another has the lock. */
function takeLock(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return false
    throw error
  }
}

/** Starts a server that outlives us, in a process group of its own. Its output goes to the log of `folder`. */
export async function startProcess(folder: string, launch: Launch): Promise<ProcessIdentity> {
  const log = logFile(folder)
  if (existsSync(log) && statSync(log).size > MOST_LOG_BYTES) renameSync(log, `${log}.1`)
  const descriptor = openSync(log, 'a', 0o600)
  try {
    const child = spawn(launch.command, launch.args, {
      cwd: folder,
      detached: true,
      stdio: ['ignore', descriptor, descriptor],
      env: environmentWith(launch.env ?? {}),
    })
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
    child.unref()
    const { pid } = child
    if (pid === undefined) throw new Error(`${launch.command} started without a process id`)
    const identity = { pid, started: startOf(pid) ?? 'ended' }
    writeFileSync(join(folder, `${PID_FILE}.new`), `${identity.pid}\n${identity.started}`)
    renameSync(join(folder, `${PID_FILE}.new`), join(folder, PID_FILE))
    return identity
  } finally {
    closeSync(descriptor)
  }
}

/** Ends the server in `folder`: asks (SIGTERM), waits up to `patienceMs`, then kills its whole group. */
export async function stopProcess(folder: string, patienceMs: number): Promise<'stopped' | 'killed' | 'not running'> {
  const identity = runningProcess(folder)
  if (identity === undefined) return 'not running'
  signalGroup(identity.pid, 'SIGTERM')
  let ending: 'stopped' | 'killed' = 'stopped'
  for (let waited = 0; startOf(identity.pid) === identity.started; waited += STOP_POLL_MS) {
    if (waited >= patienceMs && ending === 'stopped') {
      ending = 'killed'
      signalGroup(identity.pid, 'SIGKILL')
    }
    await sleep(STOP_POLL_MS)
  }
  // A parent may end before its workers. No worker may keep the port from the next start.
  signalGroup(identity.pid, 'SIGKILL')
  rmSync(join(folder, PID_FILE), { force: true })
  return ending
}

/** Kills the server in `folder` at once, without asking or waiting: for use while our own process exits. */
export function killProcess(folder: string): void {
  const identity = runningProcess(folder)
  if (identity !== undefined) signalGroup(identity.pid, 'SIGKILL')
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal)
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error
  }
}

/** Whether a server could listen on 127.0.0.1:`port` now. */
export function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error) => (errorCode(error) === 'EADDRINUSE' ? resolve(false) : reject(error)))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

/**
 * Above the ports of the usual servers, and below those that systems give to outgoing connections (Linux from 32,768,
 * others from 49,152).
 */
const FREE_PORTS = { first: 20_000, last: 32_000 }

/**
 * A port of 127.0.0.1 that nothing listens on. For tests only: another program may take it before it is used.
 *
 * It is never a port that the system gives to outgoing connections. Otherwise a client that keeps trying while its
 * server is away would sooner or later be given the server's own port, connect to itself, and keep the server from
 * returning.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FREE_PORTS.first + Math.floor(Math.random() * (FREE_PORTS.last - FREE_PORTS.first))
    if (await portIsFree(port)) return port
  }
}
