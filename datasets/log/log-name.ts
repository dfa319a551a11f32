import { UserError } from '../../configs/user-error.ts'

/** Longest name of a topic on Kafka. The embedded log keeps to it, so that what it holds can move. */
const MOST = 249
const LEGAL = /^[A-Za-z0-9._-]+$/

/** Whether a topic or group of any log can have this name, behind `prefix`. */
export function isLogName(name: string, prefix = ''): boolean {
  const whole = prefix + name
  return (
    LEGAL.test(name) &&
    LEGAL.test(whole) &&
    whole.length <= MOST &&
    ![name, whole].some((one) => one === '.' || one === '..')
  )
}

/** @throws UserError unless a topic or group can have this name, behind `prefix`. A group's name is part of those of its topics. */
export function checkLogName(name: string, prefix = ''): void {
  if (isLogName(name, prefix)) return
  throw new UserError(
    `"${name}" cannot be the name of a topic or group: use at most ${MOST - prefix.length} letters, digits, dots, underscores and hyphens.`,
  )
}
