import { duration } from '../../configs/duration.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Window } from '../view/aggregation.ts'

/** A length of time: `30s`, `10m`, `1h`, `7d`. Any text by its type, so that lists of windows need no annotation. */
export type Duration = string

/** A window as a definition gives it: a length of time, or the last events by number (`last(5)`). */
export type WindowText = Duration | { last: number }

export interface WindowOptions {
  /** The window ends that long before the transaction, when labels are known: (t − length − delay, t − delay]. */
  delay?: Duration
}

/** A window of the last `events` events up to the transaction, whenever they were. */
export function last(events: number): { last: number } {
  return { last: events }
}

/**
 * The window in milliseconds.
 *
 * @throws UserError for a text that is no length of time, for a delay where events are counted, and for other options.
 */
export function windowOf(given: WindowText, options: WindowOptions = {}): Window {
  refuseOthers(options, ['delay'])
  const { delay } = options
  if (typeof given === 'object') {
    if (delay === undefined) return { last: given.last }
    throw new UserError(`last(${given.last}) counts events, and has no delay: give a length of time, such as 7d.`)
  }
  const length = milliseconds(given)
  return delay === undefined ? { length } : { length, delay: milliseconds(delay) }
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
