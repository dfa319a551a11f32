import { spawn, type ChildProcess } from 'node:child_process'
import { basename, join } from 'node:path'
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
}

/** Starts `fd` as a process of its own, in a home of its own, as a user's second terminal would. */
export function startFd(home: string, args: readonly string[], environment: Record<string, string> = {}): FdProcess {
  return startProgram(join(import.meta.dirname, '../fd.ts'), args, { ...environmentWithHome(home), ...environment })
}

/** Starts a TypeScript file as a process of its own. */
export function startProgram(file: string, args: readonly string[], env: NodeJS.ProcessEnv): FdProcess {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text))
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, ...said }))
  })
  const says: FdProcess['says'] = (text) =>
    new Promise((resolve, reject) => {
      const shown = typeof text === 'string' ? (stderr: string): boolean => stderr.includes(text) : text
      const look = (): void => void (shown(said.stderr) && resolve())
      look()
      child.stderr.on('data', look)
      child.on('close', () => {
        const expected = typeof text === 'string' ? `"${text}"` : 'what was waited for'
        reject(new Error(`${basename(file)} ${args.join(' ')} ended before it said ${expected}: ${said.stderr}`))
      })
    })
  return { child, ended, says }
}

/** Runs `fd` to its end. */
export function runFd(home: string, args: readonly string[], environment?: Record<string, string>): Promise<Ended> {
  return startFd(home, args, environment).ended
}
