import { errorCode, errorMessage, UserError } from '../user-error.ts'

/**
 * First word of a server's error, or the system's code → what happened and what to do. `%` stands for the address.
 * The first that matches counts.
 */
const FAULTS: readonly [RegExp, string][] = [
  [
    /WRONGPASS|invalid password/,
    'Redis at % refused the password. Put the right one into the URL: redis://:PASSWORD@HOST:PORT',
  ],
  [/NOAUTH/, 'Redis at % wants a password. Put it into the URL: redis://:PASSWORD@HOST:PORT'],
  [
    /NOPERM/,
    'Redis at % does not allow this user to do that. Give it the commands of the message: redis-cli ACL SETUSER',
  ],
  [
    /DB index is out of range/,
    'Redis at % has no such database. ' +
      'Use a smaller number at the end of the URL, or raise "databases" in redis.conf.',
  ],
  [
    /\bOOM\b/,
    'Redis at % is out of memory; nothing was written. ' +
      'Raise its limit (redis-cli CONFIG SET maxmemory …) or remove other data, then run the command again.',
  ],
  [/READONLY/, "Redis at % is a read-only replica. Use the primary's address: redis-cli INFO replication"],
  [
    /MISCONF/,
    'Redis at % refuses writes because it cannot save to disk. See its log, free the disk, then run the command again.',
  ],
  [
    /NOREPLICAS/,
    'Redis at % refuses writes because too few replicas are connected (min-replicas-to-write). ' +
      'Bring them back: redis-cli INFO replication',
  ],
  [
    /MOVED|CLUSTERDOWN|\bASK\b/,
    'Redis at % is one node of a cluster that keeps these keys elsewhere. ' +
      'Use a single server, or the address of the cluster behind a proxy.',
  ],
  [/WRONGTYPE/, 'Redis at % holds other data under our keys. Choose another prefix: redis://HOST:PORT/0?prefix=NAME'],
  [
    /max number of clients/,
    'Redis at % has no connection left for us. ' +
      'Raise "maxclients" (redis-cli CONFIG SET maxclients …) or end other clients.',
  ],
  [
    /ENOTFOUND|EAI_AGAIN/,
    'There is no host of the name in %. ' +
      'Mend the URL of the online store or the job queue (FD_ONLINE_STORE, FD_JOB_QUEUE, REDIS_URL).',
  ],
  [/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH/, 'No Redis answers at %. Start it: fd services up redis'],
  [
    /ETIMEDOUT|Socket timeout/,
    'Redis at % does not answer in time. Look at the host, the port and the firewall; ' +
      'rediss:// needs a port that speaks TLS; ' +
      'a slow server needs a larger ?connectMs= or ?commandMs= in the URL.',
  ],
  [
    /CERT|certificate|SELF_SIGNED|ERR_TLS/,
    "Redis at % shows a certificate that is not trusted. Name its authority's file in the URL: rediss://…?ca=FILE",
  ],
  [/EPROTO|SSL|wrong version number/, 'Redis at % does not speak TLS on this port. Use redis:// or its TLS port.'],
  [
    /Connection is closed|ECONNRESET|EPIPE/,
    'Redis at % closed the connection. redis:// on a TLS port does that: try rediss://. Else see its log.',
  ],
]

/**
 * What a server's or a socket's error means for the user, followed by the original message, which names no arguments.
 * An error that is not known here is a bug and is returned as it is.
 */
export function redisFault(error: unknown, shown: string): unknown {
  if (error instanceof UserError) return error
  const messages = [error, ...innerErrors(error)].map((each) => `${errorCode(each) ?? ''} ${errorMessage(each)}`.trim())
  for (const [pattern, advice] of FAULTS) {
    const message = messages.find((text) => pattern.test(text))
    if (message !== undefined) return new UserError(`${advice.replace('%', shown)} (${message})`, { cause: error })
  }
  return error
}

/**
 * The errors inside of an error: the reasons for which a transaction was refused (EXECABORT), or the failure of each
 * address of a host.
 */
function innerErrors(error: unknown): unknown[] {
  if (error instanceof AggregateError) return error.errors
  if (typeof error !== 'object' || error === null || !('previousErrors' in error)) return []
  return Array.isArray(error.previousErrors) ? error.previousErrors : []
}

/** The system's codes for a network or a host that is away. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
])

/** How ioredis and the server say that a connection ended, was silent, or cannot be used yet. */
const LOSSES = [
  /^Connection is closed/,
  /^Socket timeout/,
  /^Stream isn't writeable/,
  /^Command aborted/,
  /max retries per request/,
  /ETIMEDOUT/,
  /^LOADING /,
]

/**
 * Whether the connection ended or fell silent under a command, which may or may not have taken effect; or cannot be
 * made at the moment.
 */
export function isLoss(error: unknown): boolean {
  if (NETWORK.has(errorCode(error) ?? '')) return true
  const message = errorMessage(error)
  return LOSSES.some((loss) => loss.test(message))
}
