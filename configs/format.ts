import { UserError } from './user-error.ts'

/**
 * Refuses data that a newer `fd` wrote: read by older rules, it would be wrong without anybody noticing.
 *
 * @param found the number of its form. Data from before forms had numbers have none, which counts as 1.
 * @param known the newest form that this `fd` reads.
 * @param what begins the message: `Checkpoint "x" in FILE`.
 * @param otherwise what can be done without the newer `fd`, a sentence.
 * @throws UserError when `found` is above `known`.
 */
export function refuseNewer(found: number | undefined, known: number, what: string, otherwise: string): void {
  if ((found ?? 1) <= known) return
  throw new UserError(
    `${what} has form ${found}, this fd knows form ${known}: a newer fd wrote it. ` +
      `Update this one: git pull && npm ci. ${otherwise}`,
  )
}
