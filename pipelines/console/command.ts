import { Command, InvalidArgumentError } from 'commander'
import { loadConfig, type Config } from '../../configs/config.ts'
import { enterProject } from '../../configs/project.ts'
import { UserError } from '../../configs/user-error.ts'
import { parseTime } from '../../datasets/table/time.ts'
import { commandLine, type Word } from './command-line.ts'
import { openOutput, type OpenProgress, type Output } from './output.ts'

/**
 * What the action of a command is given. It stays with the action: a function below takes the part it needs, such as
 * a URL or an `Output`.
 */
export interface Context {
  config: Config
  output: Output
  /** A command to propose, with the `--project` and the `--config` of this one. */
  fd: (...words: Word[]) => string
}

/** The action of a command, with its context. `options` holds the command's own options and the global ones. */
export function action<Arguments extends unknown[], Options>(
  run: (context: Context, options: Options, ...args: Arguments) => Promise<void>,
): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const command = given.at(-1) as Command
    const options = command.optsWithGlobals<Options & { json?: boolean; config?: string; project?: string }>()
    enterProject(options.project)
    const context = {
      config: loadConfig(options.config),
      output: openOutput(options.json ?? false),
      fd: (...words: Word[]) => commandLine([...words, { project: options.project, config: options.config }]),
    }
    await run(context, options, ...(given.slice(0, -2) as Arguments))
  }
}

/** Adds examples under a command's help. */
export function example(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`)
}

export function wholeNumber(text: string): number {
  const value = exact(Number(text))
  if (!Number.isInteger(value) || value < 0 || text.trim() === '') {
    throw new InvalidArgumentError('Expected a whole number, 0 or more.')
  }
  return value
}

/** Whole numbers beyond 2^53 are rounded, so two different seeds could become the same one. */
function exact(value: number): number {
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new InvalidArgumentError(`Expected a whole number, at most ${Number.MAX_SAFE_INTEGER}.`)
  }
  return value
}

/** A TCP port; 0 asks the system for a free one. */
export function portNumber(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value > 65_535 || text.trim() === '') {
    throw new InvalidArgumentError('Expected a port, 0 to 65535.')
  }
  return value
}

export function positiveWholeNumber(text: string): number {
  const value = exact(Number(text))
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('Expected a whole number, 1 or more.')
  return value
}

export function positiveNumber(text: string): number {
  const value = Number(text)
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError('Expected a number above 0.')
  return value
}

export function share(text: string): number {
  const value = Number(text)
  if (!(value >= 0 && value <= 1) || text.trim() === '') {
    throw new InvalidArgumentError('Expected a number from 0 to 1.')
  }
  return value
}

/** A date, or a date and a time, in ISO 8601; UTC when it names no zone. */
export function dateTime(text: string): number {
  const value = parseTime(text)
  if (Number.isNaN(value)) throw new InvalidArgumentError('Expected a date such as 2018-07-25 or 2018-07-25T12:00:00.')
  return value
}

/** Gathers `--param k=v` into one record. */
export function keyValue(text: string, gathered: Record<string, string> = {}): Record<string, string> {
  const equals = text.indexOf('=')
  if (equals <= 0) throw new InvalidArgumentError('Expected NAME=VALUE.')
  return { ...gathered, [text.slice(0, equals)]: text.slice(equals + 1) }
}

type StopName = 'SIGINT' | 'SIGTERM'

/** Why a `stopSignal` aborted. Its name is that of every abort. */
class StopRequest extends Error {
  override readonly name = 'AbortError'
  readonly by: StopName

  constructor(by: StopName) {
    super(`Stopped by ${by}.`)
    this.by = by
  }
}

/**
 * A signal that aborts at the first Ctrl-C or SIGTERM, so that a command can finish the work in hand. The second one
 * kills the process as usual. `cutShort` makes the error of what was not done.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort(new StopRequest(name)))
  return controller.signal
}

/**
 * The error of a command that a signal ended before its work was done, with the exit code of that signal.
 *
 * @param state what is done and what is not, and how to go on.
 */
export function cutShort({ reason }: AbortSignal, state: string, cause?: unknown): UserError {
  const term = reason instanceof StopRequest && reason.by === 'SIGTERM'
  return new UserError(`Stopped by ${term ? 'SIGTERM' : 'Ctrl-C'}. ${state}`, { exitCode: term ? 143 : 130, cause })
}

/** Bars whose next update throws `cutShort` of `state` after `signal` aborted, so that the work behind them ends. */
export function stoppable(openProgress: OpenProgress, signal: AbortSignal, state: string): OpenProgress {
  return (label, total) => {
    const bar = openProgress(label, total)
    const update: typeof bar.update = (done, detail) => {
      if (signal.aborted) throw cutShort(signal, state)
      bar.update(done, detail)
    }
    return { ...bar, update }
  }
}

/** Wall clock, EpochMs with microseconds. It stamps records and measures latency across processes. */
export function wallClock(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000) / 1000
}
