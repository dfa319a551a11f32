import { UserError } from '../../../configs/user-error.ts'
import { SECOND } from '../../table/transaction.ts'
import type { KafkaLocation } from './location.ts'

const URL_SETTING = 'the URL of the event log (FD_EVENT_LOG)'

/**
 * Kafka's names of the errors in a broker's answer (`NOT_LEADER_OR_FOLLOWER` …); empty for a fault of the connection.
 */
export function kafkaErrors(error: unknown): string[] {
  if (error instanceof AggregateError) return error.errors.flatMap(kafkaErrors)
  if (typeof error !== 'object' || error === null || !('apiId' in error)) return []
  return typeof error.apiId === 'string' ? [error.apiId] : []
}

/**
 * Whether an error passes by itself, so that the request may be sent again. The client library decides, except below.
 */
export function isTransient(error: unknown): boolean {
  if (error instanceof UserError) return false
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isTransient)
  if (typeof error !== 'object' || error === null || !('code' in error)) return false
  if (causes(error).some(({ code }) => code === 'PLT_KFK_AUTHENTICATION' || code === 'PLT_KFK_USER')) return false
  // The client library says that a request that timed out cannot be sent again. Ours can: sequence numbers tell
  // repeated writes apart.
  if (error.code === 'PLT_KFK_NETWORK') return true
  return 'canRetry' in error && error.canRetry === true
}

/** Whether the broker is merely still writing the markers of an earlier transaction, which takes milliseconds. */
export function isClosingTransaction(error: unknown): boolean {
  const names = kafkaErrors(error)
  return (
    names.length > 0 && names.every((name) => name === 'CONCURRENT_TRANSACTIONS' || name === 'UNSTABLE_OFFSET_COMMIT')
  )
}

/** An error and its causes, outermost first. */
function causes(error: unknown): { code?: unknown; message: string }[] {
  if (error instanceof AggregateError) return error.errors.flatMap(causes)
  if (!(error instanceof Error)) return []
  return [error, ...causes(error.cause)]
}

/**
 * What went wrong, in short: Kafka's names, or the deepest cause (`connect ECONNREFUSED 127.0.0.1:9092` rather than
 * `Connection failed`).
 */
export function reasonOf(error: unknown): string {
  const names = kafkaErrors(error)
  return names.length > 0 ? names.join(', ') : (causes(error).at(-1)?.message ?? String(error))
}

/** Explains an error of authorization, authentication or TLS to the user. Returns any other error as it came. */
export function explained(location: KafkaLocation, error: unknown): unknown {
  const message =
    refusal(location, kafkaErrors(error)) ?? wrongPassword(location, error) ?? tlsMismatch(location, error)
  return message === undefined ? error : new UserError(message, { cause: error })
}

function refusal({ shown }: KafkaLocation, names: string[]): string | undefined {
  if (names.includes('INVALID_TIMESTAMP'))
    return (
      `Kafka at ${shown} refused the time of this machine as a timestamp (INVALID_TIMESTAMP): the clocks are too far ` +
      'apart. Set both clocks by the network, on each machine: timedatectl set-ntp true'
    )
  const refused = names.find((name) => name.endsWith('AUTHORIZATION_FAILED'))
  if (refused === undefined) return undefined
  const what = `Kafka at ${shown} does not allow this user what fd needs (${refused})`
  return `${what}. Grant it with kafka-acls.sh, or use another user.`
}

function wrongPassword({ shown }: KafkaLocation, error: unknown): string | undefined {
  const refused =
    causes(error).some(({ code }) => code === 'PLT_KFK_AUTHENTICATION') ||
    kafkaErrors(error).includes('UNSUPPORTED_SASL_MECHANISM')
  if (!refused) return undefined
  return (
    `Kafka at ${shown} refused the user or the password. Check both, ` +
    `and sasl= (plain, scram-sha-256 or scram-sha-512), in ${URL_SETTING}.`
  )
}

function tlsMismatch({ shown }: KafkaLocation, error: unknown): string | undefined {
  const tls = causes(error).find(({ message }) => /TLS/.test(message))
  if (tls === undefined) return undefined
  const what = `Kafka at ${shown} and the URL do not agree about TLS: ${tls.message}`
  return `${what} Add tls=true to ${URL_SETTING}, or leave it out.`
}

/**
 * The error for a cluster that was never reached. A wrong address is more likely than a broker that restarts, so
 * nothing is waited for.
 */
export function firstContactFailed({ shown }: KafkaLocation, error: unknown): UserError {
  return new UserError(
    `No Kafka broker answers at ${shown}: ${reasonOf(error)}. Check the address and, if the broker wants them, ` +
      `user and tls=true in ${URL_SETTING}; or start one with: fd services up kafka`,
    { cause: error },
  )
}

/** The error for a cluster that answered before and has been gone for longer than the URL's patience. */
export function brokerGone({ shown, patience }: KafkaLocation, error: unknown): UserError {
  return new UserError(
    `Kafka at ${shown} did not answer for ${patience / SECOND} s (${reasonOf(error)}). ` +
      'Nothing that was said to be written is lost. Look at it with: fd services status kafka',
    { cause: error },
  )
}
