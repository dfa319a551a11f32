import { S3Client } from '@aws-sdk/client-s3'
import { errorCode, errorMessage, UserError } from '../configs/user-error.ts'

/** What `configs/` read of the store. Keys and region in a URL's query come first, except the secret, which has no place in a URL. */
export interface S3Options {
  accessKeyId?: string
  secretAccessKey?: string
  sessionToken?: string
  /** URL of a store that is not Amazon's. */
  endpoint?: string
  region?: string
  /** How often a request is sent while the store is away. Default: 9. */
  attempts?: number
}

/** A bucket, or the part of it below a prefix. */
export interface Bucket {
  client: S3Client
  name: string
  /** '' or ending with a slash. */
  prefix: string
  /** For messages: bucket, prefix and endpoint. */
  place: string
  /** The work's result. @throws UserError that says what of the store is wrong, and what to do, when the work fails. */
  guard<T>(what: string, work: Promise<T>): Promise<T>
  /** True for a body that broke off on its way. */
  isCut(error: unknown): boolean
}

/** The region of stores that have none; also Amazon's own default. */
const REGION = 'us-east-1'
/** The client's pauses double from 0.1 s, at random up to that: 4 to 13 s in all, in which a store restarts. */
const ATTEMPTS = 9
const CONNECT_WITHIN_MS = 5_000
const ANSWER_WITHIN_MS = 60_000

/**
 * Opens what `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]` names; nothing is sent yet. Without keys, the client looks where
 * Amazon's tools look: a role of the machine, or the user's profile.
 *
 * @throws UserError for a URL without a bucket, with an unknown parameter, or one key of two.
 */
export function openBucket(url: string, options: S3Options): Bucket {
  const { name, prefix, endpoint = options.endpoint, region = options.region ?? REGION } = parseUrl(url)
  const { accessKeyId, secretAccessKey, sessionToken } = options
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
    throw new UserError('S3 needs both keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together.')
  }
  const client = new S3Client({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    // A bucket's name in the path, not in the host: a store on an address or in a network of one's own has no such hosts.
    forcePathStyle: true,
    maxAttempts: options.attempts ?? ATTEMPTS,
    requestHandler: { connectionTimeout: CONNECT_WITHIN_MS, requestTimeout: ANSWER_WITHIN_MS, throwOnRequestTimeout: true },
    ...(accessKeyId === undefined || secretAccessKey === undefined ? {} : { credentials: { accessKeyId, secretAccessKey, sessionToken } }),
  })
  const place = `s3://${name}/${prefix}${endpoint === undefined ? '' : ` at ${endpoint}`}`
  return {
    client, name, prefix, place, isCut,
    guard: (what, work) => work.catch((error: unknown) => {
      throw faultOf(error, { what, place, name, endpoint })
    }),
  }
}

function parseUrl(url: string): { name: string; prefix: string; endpoint?: string; region?: string } {
  const match = /^s3:\/\/([^/?#]+)\/?([^?#]*)(?:\?([^#]*))?$/.exec(url)
  if (match === null) throw new UserError(`"${url}" names no bucket. Use s3://BUCKET/PREFIX?endpoint=http://HOST:PORT`)
  const [, name, path, query = ''] = match
  const { endpoint, region, ...others } = Object.fromEntries(new URLSearchParams(query))
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new UserError(`"${unknown}" in the URL of s3://${name} is not known. Use endpoint and region; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`)
  if (endpoint !== undefined && !/^https?:\/\//.test(endpoint)) throw new UserError(`"${endpoint}" is no endpoint. Use for example s3://${name}?endpoint=http://127.0.0.1:9000`)
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`
  return { name, prefix, ...(endpoint === undefined ? {} : { endpoint }), ...(region === undefined ? {} : { region }) }
}

const unknownKey = (): string => 'The access key is not known. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to those of the store.'

/** What S3 calls its refusals, and what mends them. */
const REFUSALS: Record<string, (bucket: string) => string> = {
  NoSuchBucket: (bucket) => `There is no bucket "${bucket}". Make it: aws s3 mb s3://${bucket}, or set FD_LAKE to another one.`,
  InvalidAccessKeyId: unknownKey,
  // What versitygw says for it.
  XAdminUserNotFound: unknownKey,
  SignatureDoesNotMatch: () => 'The secret key is wrong. Set AWS_SECRET_ACCESS_KEY to the one that belongs to AWS_ACCESS_KEY_ID.',
  AccessDenied: (bucket) => `These keys may not do that. Give them s3:ListBucket, s3:GetObject and s3:PutObject (for fd doctor's trial s3:DeleteObject) on "${bucket}".`,
  RequestTimeTooSkewed: () => "This machine's clock and the store's differ by more than the store allows. Set both by the network: timedatectl set-ntp true",
  CredentialsProviderError: () => 'There are no keys. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
  PermanentRedirect: (bucket) => `"${bucket}" is in another region. Add ?region=NAME to FD_LAKE.`,
}

const GONE = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EPIPE'])

function faultOf(error: unknown, { what, place, name, endpoint }: { what: string; place: string; name: string; endpoint: string | undefined }): unknown {
  if (error instanceof UserError || error instanceof TypeError) return error
  const kind = error instanceof Error ? error.name : ''
  const head = `Cannot ${what} of ${place}`
  if (Object.hasOwn(REFUSALS, kind)) return new UserError(`${head}: ${REFUSALS[kind](name)}`, { cause: error })
  const code = errorCode(error) ?? kind
  if (GONE.has(code) || kind === 'TimeoutError') {
    return new UserError(`${head}: the store cannot be reached (${code}). Start it, or set AWS_ENDPOINT_URL to another one instead of ${endpoint ?? "Amazon's"}, then run: fd doctor`, { cause: error })
  }
  return new UserError(`${head}: ${kind} ${errorMessage(error)}. Look at the store's log, then run: fd doctor`, { cause: error })
}

function isCut(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'EPIPE'
}
