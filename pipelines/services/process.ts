import { spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
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
import { setTimeout as sleep } from 'node:timers/promises'
import { environmentWith } from '../../configs/config.ts'
import type { Variables } from '../../configs/credentials.ts'
import { errorCode } from '../../configs/user-error.ts'

/** A command that becomes a server. It must stay in the foreground. */
export interface Launch {
  command: string
  args: string[]
  /** Variables on top of ours: where secrets go, since arguments are seen by every user of the machine. */
  env?: Variables
}

/** A process that is alive and the one it was: a pid alone is handed to somebody else after a restart of the machine. */
export interface ProcessIdentity {
  pid: number
  /** When it started, in the words of the system; compared for equality only. */
  started: string
}

/** Two lines: the pid, and when it started. */
const PID_FILE = 'pid'
const LOG_FILE = 'log'
/** A log longer than this is put aside (`log.1`) at the next start. */
const MOST_LOG_BYTES = 16 * 1024 * 1024
const STOP_POLL_MS = 50
const LOCK_POLL_MS = 200
const LOG_POLL_MS = 200

/** Where the server in `folder` writes its stdout and stderr. */
export function logFile(folder: string): string {
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

/** Hands over the whole lines that are added to a server's log from now on, until `signal` is aborted. A log put aside is begun anew. */
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
      if (end > 0)
        bytes
          .toString('utf8', 0, end - 1)
          .split('\n')
          .forEach(print)
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

/** When a process started, or undefined when there is none of this pid, or only its remains wait for their parent. */
export function startOf(pid: number): string | undefined {
  if (process.platform !== 'linux') {
    const found = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' })
    return found.status === 0 ? found.stdout.trim() : undefined
  }
  try {
    // The name of the program, in parentheses, may hold spaces: fields are counted behind the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined
    throw error
  }
}

/**
 * Runs `action` while no other `fd` starts or stops the server in `folder`: of two `fd services up` at once, the second waits
 * for the first, whose own waits are bounded, and finds the server running.
 */
export async function exclusively<T>(folder: string, action: () => Promise<T>): Promise<T> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = join(folder, 'lock')
  while (!takeLock(lock)) await sleep(LOCK_POLL_MS)
  try {
    return await action()
  } finally {
    rmSync(lock, { force: true })
  }
}

/** False while a living process holds the lock; that of a dead one is removed. */
function takeLock(lock: string): boolean {
  const draft = `${lock}.${process.pid}`
  writeFileSync(draft, `${process.pid}\n${startOf(process.pid)}`)
  try {
    // A link appears with its content or not at all.
    linkSync(draft, lock)
    return true
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  } finally {
    rmSync(draft)
  }
  const holder = readIdentity(lock)
  if (holder === undefined || startOf(holder.pid) !== holder.started) rmSync(lock, { force: true })
  return false
}

/** Starts a server that outlives us, in a process group of its own, writing to the log of `folder`. */
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
  // A parent may have ended before its workers; none shall hold the port against the next start.
  signalGroup(identity.pid, 'SIGKILL')
  rmSync(join(folder, PID_FILE), { force: true })
  return ending
}

/** Ends the server in `folder` at once, without asking or waiting: for the moment in which we end ourselves. */
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

/** Below the ports that systems give to outgoing connections (Linux from 32,768, others from 49,152), above the usual servers. */
const FREE_PORTS = { first: 20_000, last: 32_000 }

/**
 * A port of 127.0.0.1 that nothing listens on: for tests, since another program may take it before it is used. Not one that an
 * outgoing connection can have: while a server is away, a client that keeps trying would once be given the server's own port,
 * be connected to itself, and hold the port against the server's return.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FREE_PORTS.first + Math.floor(Math.random() * (FREE_PORTS.last - FREE_PORTS.first))
    if (await portIsFree(port)) return port
  }
}
