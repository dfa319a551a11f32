import { setImmediate } from 'node:timers/promises'

/**
 * A fit calls this after each round. Rounds count from 1 up to `rounds`. `value` is the average precision of the
 * watched, or out-of-bag, rows, and NaN when there are none. Answering false prunes: the fit ends with `Pruned`.
 */
export type Report = (round: number, value: number, rounds: number) => boolean

/** A fit throws this when its report answered false. */
export class Pruned extends Error {
  readonly round: number
  readonly value: number

  constructor(round: number, value: number) {
    super(`Pruned after round ${round}`)
    this.name = 'Pruned'
    this.round = round
    this.value = value
  }
}

/**
 * Reports a finished round and gives the event loop a turn. A fit on the main thread would otherwise keep progress from
 * being drawn and signals from arriving.
 *
 * @param value average precision of the watched, or out-of-bag, rows. Default: NaN, when there are none.
 * @returns `value`.
 * @throws Pruned when `report` answers false.
 */
export async function finishRound(
  report: Report,
  round: number,
  rounds: number,
  value: number = Number.NaN,
): Promise<number> {
  if (!report(round, value, rounds)) throw new Pruned(round, value)
  await setImmediate()
  return value
}
