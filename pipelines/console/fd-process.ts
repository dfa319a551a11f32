import { spawn, type ChildProcess } from 'node:child_process'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { environmentWithHome } from '../../configs/config.ts'

/** How a process ended, and what it printed. */
export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface FdProcess {
  child: ChildProcess
  /** Resolves at the end of the process, however it ended. */
  ended: Promise<Ended>
  /**
   * Resolves when stderr contains `text`, or when the given function accepts stderr. Rejects when the process ends
   * first.
   */
  says(text: string | ((stderr: string) => boolean)): Promise<void>
  /** What it has said on stderr so far. */
  said(): string
}

/** Starts `fd` as a process of its own, in a home of its own, as a user's second terminal would. */
export function startFd(home: string, args: readonly string[], environment: Record<string, string> = {}): FdProcess {
  return startProgram(join(import.meta.dirname, '../fd.ts'), args, { ...environmentWithHome(home), ...environment })
}

/** Starts a TypeScript file as a process of its own. */
export function startProgram(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string = process.cwd(),
): FdProcess {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
    cwd,
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text))
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, ...said }))
  })
  const says: FdProcess['says'] = (text) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const shown = typeof text === 'string' ? (stderr: string): boolean => stderr.includes(text) : text
    const look = (): void => void (shown(said.stderr) && resolve())
    child.stderr.on('data', look)
    look()
    const expected = typeof text === 'string' ? `"${text}"` : 'what was waited for'
    ended.then(({ stderr }) => {
      reject(new Error(`${basename(file)} ${args.join(' ')} ended before it said ${expected}: ${stderr}`))
    }, reject)
    return promise.finally(() => child.stderr.off('data', look))
  }
  return { child, ended, says, said: () => said.stderr }
}

/** Longer than anything that processes wait for by themselves. */
const PATIENCE_MS = 90_000

/**
 * As `awaited`, but rejects with what the processes have said when one of them ends before, or when it takes too long.
 */
export async function whileAlive<T>(awaited: Promise<T>, ...processes: FdProcess[]): Promise<T> {
  const fail = (what: string): never => {
    throw new Error([what, ...processes.map(({ child, said }) => `${child.pid}: ${said()}`)].join('\n'))
  }
  const ends = processes.map(({ child, ended }) =>
    ended.then(({ code, signal }) => fail(`${child.pid} ended with ${code ?? signal}`)),
  )
  const over = new AbortController()
  const late = sleep(PATIENCE_MS, undefined, { signal: over.signal }).then(() =>
    fail('what was waited for did not come'),
  )
  try {
    return await Promise.race([awaited, ...ends, late])
  } finally {
    over.abort()
    for (const loser of [...ends, late]) loser.catch(() => undefined)
  }
}

export function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

/** Runs `fd` to its end. */
export function runFd(home: string, args: readonly string[], environment?: Record<string, string>): Promise<Ended> {
  return startFd(home, args, environment).ended
}
