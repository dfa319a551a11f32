import { UserError } from './user-error.ts'

/**
 * Refuses what a newer `fd` has written: read by rules it was not written by, it would be wrong in silence.
 *
 * @param found the number of the form it has; what was written before forms had numbers has none, which is 1.
 * @param what begins the message: `Checkpoint "x" in FILE`.
 * @param otherwise what can be done without the newer `fd`, a sentence.
 */
export function refuseNewer(found: number | undefined, known: number, what: string, otherwise: string): void {
  if ((found ?? 1) <= known) return
  throw new UserError(
    `${what} has form ${found}, this fd knows form ${known}: a newer fd wrote it. Update this one: git pull && npm ci. ${otherwise}`,
  )
}
