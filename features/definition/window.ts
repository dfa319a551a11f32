import { duration } from '../../configs/duration.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Window } from '../view/aggregation.ts'

/** A length of time: `30s`, `10m`, `1h`, `7d`. Any text by its type, so that lists of windows need no annotation. */
export type Duration = string

/** A window as a definition gives it: a length of time, the last events by number (`last(5)`), or `ever`. */
export type WindowText = Duration | { last: number } | { ever: true }

export interface WindowOptions {
  /** The window ends that long before the transaction, when labels are known: (t − length − delay, t − delay]. */
  delay?: Duration
  /** The window begins at a multiple of this, so it is longer by up to as much: with `1d` it holds whole days (UTC). */
  hop?: Duration
  /** A condition on an event's own columns: `status == "declined"`. Only events of which it is true are counted. */
  where?: string
}

/** The window of all events up to the transaction, however old. */
export const ever = { ever: true } as const

/**
 * The window in milliseconds, and the condition where there is one.
 *
 * @throws UserError for a text that is no length of time, for a delay or hop where it means nothing, and for other
 * options.
 */
export function windowed(given: WindowText, options: WindowOptions = {}): { window: Window; where?: string } {
  refuseOthers(options, ['delay', 'hop', 'where'])
  const { where, ...rest } = options
  const window = windowOf(given, rest)
  return where === undefined ? { window } : { window, where }
}

function windowOf(given: WindowText, { delay, hop }: Omit<WindowOptions, 'where'>): Window {
  const delayed = delay === undefined ? {} : { delay: milliseconds(delay) }
  if (typeof given === 'string') {
    return { length: milliseconds(given), ...delayed, ...(hop === undefined ? {} : { hop: milliseconds(hop) }) }
  }
  if (hop !== undefined) throw new UserError(`A hop belongs to a length of time, such as 7d: leave it out.`)
  if (!('last' in given)) return { ever: true, ...delayed }
  if (delay === undefined) return { last: given.last }
  throw new UserError(`last(${given.last}) counts events, and has no delay: give a length of time, such as 7d.`)
}

/**
 * Refuses what an option is called by mistake. Node runs a definition without looking at its types.
 *
 * @throws UserError that names the option and those there are.
 */
export function refuseOthers(options: object, known: readonly string[]): void {
  const other = Object.keys(options).find((name) => !known.includes(name))
  if (other === undefined) return
  throw new UserError(`There is no option "${other}" here. There are: ${known.join(', ')}.`)
}

function milliseconds(text: Duration): number {
  const parsed = duration.safeParse(text)
  if (parsed.success) return parsed.data
  throw new UserError(`${JSON.stringify(text)} is no length of time: give one such as 30s, 10m, 1h, 7d.`)
}
