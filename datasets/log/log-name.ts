import { UserError } from '../../configs/user-error.ts'

/**
 * Longest topic name that Kafka allows. The embedded log keeps the same limit, so that its topics can move to Kafka.
 */
const LONGEST_NAME = 249
const LEGAL = /^[A-Za-z0-9._-]+$/

/** Whether a topic or group of any log can have this name after `prefix`. */
export function isLogName(name: string, prefix = ''): boolean {
  const whole = prefix + name
  return (
    LEGAL.test(name) &&
    LEGAL.test(whole) &&
    whole.length <= LONGEST_NAME &&
    ![name, whole].some((one) => one === '.' || one === '..')
  )
}

/**
 * Checks the name of a topic or group. One rule serves both, because a group's name is part of the names of its topics.
 *
 * @throws UserError unless a topic or group can have this name after `prefix`.
 */
export function checkLogName(name: string, prefix = ''): void {
  if (isLogName(name, prefix)) return
  throw new UserError(
    `"${name}" cannot be the name of a topic or group: ` +
      `use at most ${LONGEST_NAME - prefix.length} letters, digits, dots, underscores and hyphens.`,
  )
}

/**
 * The error of a topic that is not there.
 *
 * @param known the topics that are.
 */
export function unknownTopic(name: string, known: readonly string[]): UserError {
  if (known.length === 0) return new UserError(`No topic "${name}". There is none yet; fill one with: fd produce.`)
  return new UserError(
    `No topic "${name}". Topics: ${known.join(', ')}. Who writes to one first makes it: fd produce, fd score.`,
  )
}
