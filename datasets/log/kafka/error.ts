import { UserError } from '../../../configs/user-error.ts'
import { SECOND } from '../../table/transaction.ts'
import type { KafkaLocation } from './location.ts'

/** Kafka's own names of the errors in a broker's answer (`NOT_LEADER_OR_FOLLOWER` …); empty for a fault of the connection. */
export function kafkaErrors(error: unknown): string[] {
  if (error instanceof AggregateError) return error.errors.flatMap(kafkaErrors)
  if (typeof error !== 'object' || error === null || !('apiId' in error)) return []
  return typeof error.apiId === 'string' ? [error.apiId] : []
}

/** Errors in an answer that pass by themselves: the request may be sent again. The client's own table, but for those below. */
export function isTransient(error: unknown): boolean {
  if (error instanceof UserError) return false
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isTransient)
  if (typeof error !== 'object' || error === null || !('code' in error)) return false
  if (causes(error).some(({ code }) => code === 'PLT_KFK_AUTHENTICATION' || code === 'PLT_KFK_USER')) return false
  // The client says of a request that timed out that it cannot be sent again. Ours can: what they write is told apart by sequence numbers.
  if (error.code === 'PLT_KFK_NETWORK') return true
  return 'canRetry' in error && error.canRetry === true
}

/** Whether the broker is only still writing the markers of a transaction that was ended before: a matter of milliseconds. */
export function isClosingTransaction(error: unknown): boolean {
  const names = kafkaErrors(error)
  return (
    names.length > 0 && names.every((name) => name === 'CONCURRENT_TRANSACTIONS' || name === 'UNSTABLE_OFFSET_COMMIT')
  )
}

/** An error and what caused it, outermost first. */
function causes(error: unknown): { code?: unknown; message: string }[] {
  if (error instanceof AggregateError) return error.errors.flatMap(causes)
  if (!(error instanceof Error)) return []
  return [error, ...causes(error.cause)]
}

/** What went wrong in short: Kafka's names, or the deepest cause (`connect ECONNREFUSED 127.0.0.1:9092` rather than `Connection failed`). */
export function reasonOf(error: unknown): string {
  const names = kafkaErrors(error)
  return names.length > 0 ? names.join(', ') : (causes(error).at(-1)?.message ?? String(error))
}

/** The error as the user should see it when it is about who he is, or how he connects; any other as it came. */
export function explained(location: KafkaLocation, error: unknown): unknown {
  const names = kafkaErrors(error)
  const refused = names.find((name) => name.endsWith('AUTHORIZATION_FAILED'))
  if (refused !== undefined)
    return new UserError(
      `Kafka at ${location.shown} does not allow this user what fd needs (${refused}). Grant it with kafka-acls.sh, or use another user.`,
      { cause: error },
    )
  if (
    causes(error).some(({ code }) => code === 'PLT_KFK_AUTHENTICATION') ||
    names.includes('UNSUPPORTED_SASL_MECHANISM')
  ) {
    return new UserError(
      `Kafka at ${location.shown} refused the user or the password. Check both, and sasl= (plain, scram-sha-256 or scram-sha-512), in the URL of the event log (FD_EVENT_LOG).`,
      { cause: error },
    )
  }
  const tls = causes(error).find(({ message }) => /TLS/.test(message))
  if (tls !== undefined)
    return new UserError(
      `Kafka at ${location.shown} and the URL do not agree about TLS: ${tls.message} Add tls=true to the URL of the event log (FD_EVENT_LOG), or leave it out.`,
      { cause: error },
    )
  return error
}

/** A cluster that could not be reached once: more likely a wrong address than a broker that restarts, so nothing is waited for. */
export function firstContactFailed(location: KafkaLocation, error: unknown): UserError {
  return new UserError(
    `No Kafka broker answers at ${location.shown}: ${reasonOf(error)}. Check the address and, if the broker wants them, user and tls=true in the URL of the event log (FD_EVENT_LOG); or start one with: fd services up kafka`,
    { cause: error },
  )
}

/** A cluster that was there and has been gone for longer than the URL's patience. */
export function brokerGone(location: KafkaLocation, error: unknown): UserError {
  return new UserError(
    `Kafka at ${location.shown} did not answer for ${location.patience / SECOND} s (${reasonOf(error)}). Nothing that was said to be written is lost. Look at it with: fd services status kafka`,
    { cause: error },
  )
}
