import { setTimeout as sleep } from 'node:timers/promises'
import { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import type { Tell } from '../../configs/tell.ts'
import { withoutPassword } from '../../configs/url.ts'
import { errorCode, errorMessage, UserError } from '../../configs/user-error.ts'
import { SECOND, type DurationMs } from '../table/transaction.ts'

/**
 * Keys and place of the store, as `configs/` read them. Endpoint and region in the URL's query come first; keys have no
 * place in a URL.
 */
export interface S3Options {
  accessKeyId?: string
  secretAccessKey?: string
  sessionToken?: string
  /** URL of a store that is not Amazon's. */
  endpoint?: string
  region?: string
}

/** A bucket, or the part of it below a prefix. */
export interface Bucket {
  client: S3Client
  name: string
  /** '' or ending with a slash. */
  prefix: string
  /** For messages: bucket, prefix and endpoint. */
  place: string
  /**
   * The result of `work`. While the store is away and patience lasts, the work is done again from its start, and the
   * wait is told.
   *
   * @param what completes the message "Cannot … of PLACE".
   * @throws UserError that says what is wrong with the store and what to do, when it never answered, is away for too
   * long, or refuses.
   */
  guard<T>(what: string, work: () => Promise<T>): Promise<T>
}

/** The region for stores that have none; also Amazon's own default. */
const REGION = 'us-east-1'
/**
 * Attempts of the client itself at one request, within a fraction of a second, for what a network loses. `guard`
 * bridges longer absences.
 */
const ATTEMPTS = 3
const PATIENCE: DurationMs = 60 * SECOND
const FIRST_PAUSE: DurationMs = 50
const LONGEST_PAUSE: DurationMs = 1 * SECOND
const CONNECT_WITHIN_MS = 5_000
const ANSWER_WITHIN_MS = 60_000

/**
 * Opens the bucket of `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&patience=SECONDS]`; sends nothing yet. What the
 * URL says stands above `options`. Patience is how long a call waits for a store that has answered before and does not
 * now; default: a minute, as for Kafka and Redis. Without keys, the client looks for them where Amazon's tools do: a
 * role of the machine, or the user's profile.
 *
 * @param waits whether calls wait at all. Default: true.
 * @throws UserError for a URL without a bucket, with an unknown parameter, or one key of two.
 */
export function openBucket(
  url: string,
  options: S3Options,
  { tell = () => {}, waits = true }: { tell?: Tell; waits?: boolean } = {},
): Bucket {
  const {
    name,
    prefix,
    endpoint = checkedEndpoint(options.endpoint, 'AWS_ENDPOINT_URL=http://127.0.0.1:9000'),
    region = options.region ?? REGION,
    patience = PATIENCE,
  } = parseUrl(url)
  const client = clientOf(region, endpoint, options)
  const shown = endpoint === undefined ? "Amazon's" : withoutPassword(endpoint)
  const place = `s3://${name}/${prefix}${endpoint === undefined ? '' : ` at ${shown}`}`
  const presence: Presence = {
    place,
    name,
    endpoint: shown,
    tell,
    patience: waits ? patience : 0,
    reached: false,
    told: false,
  }
  return { client, name, prefix, place, guard: (what, work) => patiently(presence, what, work) }
}

/** @throws UserError for one key of two. */
function clientOf(region: string, endpoint: string | undefined, options: S3Options): S3Client {
  const { accessKeyId, secretAccessKey, sessionToken } = options
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    throw new UserError('S3 needs both keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together.')
  }
  return new S3Client({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    // The bucket's name goes into the path, not the host: a store at an IP address or in a private network has no host
    // names by bucket.
    forcePathStyle: true,
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECT_WITHIN_MS,
      requestTimeout: ANSWER_WITHIN_MS,
      throwOnRequestTimeout: true,
    },
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { credentials: { accessKeyId, secretAccessKey, sessionToken } }),
  })
}

/** A store, and whether it has answered so far. */
interface Presence {
  place: string
  name: string
  /** As it may be shown. */
  endpoint: string
  tell: Tell
  patience: DurationMs
  /** It has answered, even with a refusal. A store that never has is not waited for, since its URL may be wrong. */
  reached: boolean
  /** The wait was told. Several calls may wait for the same store, and one says so. */
  told: boolean
}

/** Does `work`, again and again with longer pauses while the store is away and patience lasts. */
async function patiently<T>(store: Presence, what: string, work: () => Promise<T>): Promise<T> {
  let patience: AbortSignal | undefined
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      const result = await work()
      if (store.told) store.tell(`The store of ${store.place} answers again.`, 'back')
      Object.assign(store, { reached: true, told: false })
      return result
    } catch (error) {
      store.reached ||= statusOf(error) !== undefined
      if (!isAway(error)) throw faultOf(error, what, store)
      patience ??= AbortSignal.timeout(store.patience)
      if (!store.reached || store.patience === 0 || patience.aborted) throw faultOf(error, what, store)
      tellOnce(store, error)
      await sleep(pause)
    }
  }
}

function tellOnce(store: Presence, error: unknown): void {
  if (store.told) return
  store.tell(
    `The store of ${store.place} does not answer (${reasonOf(error)}): waiting up to ${store.patience / SECOND} s.`,
    'lost',
  )
  store.told = true
}

/** The parts of an S3 URL. */
interface BucketUrl {
  name: string
  prefix: string
  endpoint?: string
  region?: string
  patience?: DurationMs
}

function parseUrl(url: string): BucketUrl {
  const match = /^s3:\/\/([^/?#]+)\/?([^?#]*)(?:\?([^#]*))?$/.exec(url)
  if (match === null) {
    throw new UserError(`"${withoutPassword(url)}" names no bucket. Use s3://BUCKET/PREFIX?endpoint=http://HOST:PORT`)
  }
  const [, name, path, query = ''] = match
  if (/[@:]/.test(name)) {
    throw new UserError(
      `"${withoutPassword(url)}" holds more than a bucket and a prefix. Keys come from AWS_ACCESS_KEY_ID and ` +
        'AWS_SECRET_ACCESS_KEY. Use s3://BUCKET/PREFIX?endpoint=http://HOST:PORT',
    )
  }
  const { endpoint, region, patience, ...others } = Object.fromEntries(new URLSearchParams(query))
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) {
    throw new UserError(
      `"${unknown}" in the URL of s3://${name} is not known. Use endpoint, region and patience; ` +
        'keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    )
  }
  checkedEndpoint(endpoint, `s3://${name}?endpoint=http://127.0.0.1:9000`)
  if (patience !== undefined && !(Number(patience) > 0 && Number(patience) <= 86_400))
    throw new UserError(`"patience=${patience}" in the URL of s3://${name} must be a number of seconds.`)
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`
  return {
    name,
    prefix,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(patience === undefined ? {} : { patience: Number(patience) * SECOND }),
  }
}

/** @throws UserError for text that is no URL of a store. `example` is one, where it is to be written. */
function checkedEndpoint(endpoint: string | undefined, example: string): string | undefined {
  if (endpoint === undefined || (/^https?:\/\//i.test(endpoint) && URL.canParse(endpoint))) return endpoint
  throw new UserError(`"${withoutPassword(endpoint)}" is no endpoint. Use for example ${example}`)
}

const unknownKey = (): string =>
  'The access key is not known. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to those of the store.'

/** S3's name of a refusal → what is wrong, and what mends it. */
const REFUSALS: Record<string, (bucket: string) => string> = {
  NoSuchBucket: (bucket) =>
    `There is no bucket "${bucket}". Make it: aws s3 mb s3://${bucket}, or set FD_LAKE to another one.`,
  InvalidAccessKeyId: unknownKey,
  // The name that versitygw gives to the same fault.
  XAdminUserNotFound: unknownKey,
  SignatureDoesNotMatch: () =>
    'The secret key is wrong. Set AWS_SECRET_ACCESS_KEY to the one that belongs to AWS_ACCESS_KEY_ID.',
  AccessDenied: (bucket) =>
    'These keys may not do that. Give them s3:ListBucket, s3:GetObject and s3:PutObject ' +
    `(for fd doctor's trial s3:DeleteObject) on "${bucket}".`,
  RequestTimeTooSkewed: () =>
    "This machine's clock and the store's differ by more than the store allows. " +
    'Set both by the network: timedatectl set-ntp true',
  CredentialsProviderError: () => 'There are no keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
  PermanentRedirect: (bucket) => `"${bucket}" is in another region. Add ?region=NAME to FD_LAKE.`,
}

/**
 * Codes of the system and of streams for a connection that was not made or broke, and the client's own name for
 * silence.
 */
const GONE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EPIPE',
  'ERR_STREAM_PREMATURE_CLOSE',
  'TimeoutError',
])

/** True for a fault of the moment: no answer, an answer that broke off, or a server that says it cannot now (5xx). */
function isAway(error: unknown): boolean {
  return GONE.has(reasonOf(error)) || (statusOf(error) ?? 0) >= 500
}

function reasonOf(error: unknown): string {
  return errorCode(error) ?? (error instanceof Error ? error.name : '')
}

/** The status of the store's answer, when there was one. */
function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
}

function faultOf(error: unknown, what: string, { place, name, endpoint, reached, patience }: Presence): unknown {
  if (error instanceof UserError || error instanceof TypeError) return error
  const kind = error instanceof Error ? error.name : ''
  const head = `Cannot ${what} of ${place}`
  if (Object.hasOwn(REFUSALS, kind)) return new UserError(`${head}: ${REFUSALS[kind](name)}`, { cause: error })
  if (!isAway(error) || statusOf(error) !== undefined) {
    const answer = `${kind} ${errorMessage(error)}`
    return new UserError(`${head}: ${answer}. Look at the store's log, then run: fd doctor`, { cause: error })
  }
  const absence = reached && patience > 0 ? `has been away for ${patience / SECOND} s` : 'cannot be reached'
  return new UserError(
    `${head}: the store ${absence} (${reasonOf(error)}). ` +
      `Start it, or set AWS_ENDPOINT_URL to another one instead of ${endpoint}, then run: fd doctor`,
    { cause: error },
  )
}
