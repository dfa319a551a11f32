import type { Tell } from './tell.ts'
import { errorMessage } from './user-error.ts'

/**
 * `missing`: the user has a step to take first. `warning`: it works, but will not always. `broken`: it does not work.
 */
export type FindingState = 'ok' | 'missing' | 'warning' | 'broken'

/**
 * The state of one aspect of a service. A fault's detail ends with what to do about it: a command, where there is one.
 */
export interface Finding {
  /** What was looked at: `server`, `latency`, `permissions`, `clock` … */
  aspect: string
  state: FindingState
  detail: string
}

export type Judgement = Omit<Finding, 'aspect'>

/** What a driver's inspection receives. */
export interface Inspection {
  /** Wall clock, ms since 1970 with fractions. */
  now: () => number
  /**
   * Letters, digits and hyphens, different each time. It names what a trial makes, so that two inspections do not
   * collide.
   */
  id: string
  tell: Tell
}

/** The finding of `look`. A text is `ok`; an error it throws is `broken`, with the error's message. */
export async function find(aspect: string, look: () => Promise<string | Judgement>): Promise<Finding> {
  try {
    const found = await look()
    return typeof found === 'string' ? { aspect, state: 'ok', detail: found } : { aspect, ...found }
  } catch (error) {
    return { aspect, state: 'broken', detail: errorMessage(error) }
  }
}

/** The faults as findings of one aspect; without faults, one finding that says `fine`. */
export function findings(aspect: string, faults: readonly Judgement[], fine: string): Finding[] {
  return faults.length === 0 ? [{ aspect, state: 'ok', detail: fine }] : faults.map((fault) => ({ aspect, ...fault }))
}

export const warning = (detail: string): Judgement => ({ state: 'warning', detail })
export const broken = (detail: string): Judgement => ({ state: 'broken', detail })

const ROUND_TRIPS = 5

/** The time from question to answer: the median of five, asked one after another. */
export function findLatency(now: () => number, ask: () => Promise<unknown>): Promise<Finding> {
  return find('latency', async () => {
    const times: number[] = []
    for (let trip = 0; trip < ROUND_TRIPS; trip++) {
      const asked = now()
      await ask()
      times.push(now() - asked)
    }
    const median = times.toSorted((a, b) => a - b)[Math.floor(ROUND_TRIPS / 2)]
    return `${median.toFixed(2)} ms a round trip, median of ${ROUND_TRIPS}`
  })
}
