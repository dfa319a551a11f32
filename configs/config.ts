import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { readCredentials, withSecrets, type Variables } from './credentials.ts'
import { errorMessage, UserError } from './user-error.ts'

/** The environment for a child process that shall work in another home, with the same services: secrets of the home of ours go with it. */
export function environmentWithHome(home: string, env: Variables = process.env): Variables {
  return { ...readCredentials(resolve(env['FD_HOME'] ?? '.fd')), ...env, FD_HOME: home }
}

/** The environment for a child process, with some variables set. */
export function environmentWith(variables: Variables): Variables {
  return { ...process.env, ...variables }
}

/** Version of the code, as a model version records it. */
export function codeVersion(): string {
  const { name, version } = z
    .object({ name: z.string(), version: z.string() })
    .parse(JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')))
  return `${name} ${version}`
}

/** Root of the project: where `configs/` and the other folders stand. */
export const PROJECT_ROOT = resolve(import.meta.dirname, '..')

const port = z.number().int().min(1).max(65_535)

/** What `fd services` starts, each on 127.0.0.1. What is left out is not started. */
const services = z.strictObject({
  redis: z.strictObject({ port }).optional(),
  kafka: z.strictObject({ port, controllerPort: port, version: z.string() }).optional(),
  mlflow: z.strictObject({ port, version: z.string() }).optional(),
  s3: z.strictObject({ port, version: z.string(), bucket: z.string() }).optional(),
})

const schema = z.strictObject({
  /** Folder of everything embedded. Two homes are two worlds. Env: FD_HOME. */
  home: z.string().default('.fd'),
  /** Folder of installed servers, shared by all homes: what can be downloaded again. Env: FD_CACHE. */
  cache: z.string().default(join(homedir(), '.cache', 'fd')),
  /** `lmdb:`, `lmdb:FOLDER` or `kafka://HOST:PORT,HOST:PORT`. Env: FD_EVENT_LOG, or KAFKA_BROKERS without the scheme. */
  eventLog: z.string().default('lmdb:'),
  /** `lmdb:` or `lmdb:FOLDER`, `redis://…` or `rediss://…`. Env: FD_ONLINE_STORE, or REDIS_URL. */
  onlineStore: z.string().default('lmdb:'),
  /** `local:`, or `redis://…` or `rediss://…`, whose jobs every `fd worker` of the same URL takes. Env: FD_JOB_QUEUE, or REDIS_URL. */
  jobQueue: z.string().default('local:'),
  /** `sqlite:`, `sqlite:FOLDER`, or `http://HOST:PORT` of an MLflow server. Env: MLFLOW_TRACKING_URI. */
  registry: z.string().default('sqlite:'),
  /** `file:`, `file:FOLDER`, or `s3://BUCKET/PREFIX?endpoint=URL`. Env: FD_LAKE. */
  lake: z.string().default('file:'),
  /** Servers of `fd services`; no command but that one reads it. */
  services: services.default({}),
  /** Where a dataset's file is looked for when no `--data` is given, by dataset name. */
  datasets: z.record(z.string(), z.strictObject({ path: z.string() })).default({}),
  scorer: z
    .strictObject({
      group: z.string().default('scorer'),
      /** Partitions that the topic `transactions` is made with, and must have: as many scorers of a group can share the work. */
      partitions: z.number().int().positive().default(1),
      /** Least time between two state checkpoints, ms; also the most work repeated after a kill. */
      checkpointEveryMs: z.number().int().positive().default(1000),
      /** Most transactions in one ONNX call. */
      maxBatch: z.number().int().positive().default(1024),
      /** How often the registry is asked for a new champion, ms. */
      championEveryMs: z.number().int().positive().default(250),
    })
    .prefault({}),
  /** Where `fd score` serves /metrics and /healthz; not at all without a port. Env: FD_METRICS_PORT, FD_METRICS_HOST. */
  metrics: z
    .strictObject({
      port: z.coerce.number().int().min(0).max(65_535).optional(),
      host: z.string().default('127.0.0.1'),
    })
    .prefault({}),
  /** Secret under which card numbers become tokens. Env: FD_TOKEN_KEY; never written in a file of the project. */
  tokenKey: z.string().optional(),
  /** Kaggle API credentials, for `fd datasets fetch kaggle-cc`. Env: KAGGLE_USERNAME, KAGGLE_KEY; never written in a file of the project. */
  kaggle: z.strictObject({ username: z.string().optional(), key: z.string().optional() }).prefault({}),
  /** Credentials of the MLflow server. Env: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN. */
  mlflow: z
    .strictObject({ username: z.string().optional(), password: z.string().optional(), token: z.string().optional() })
    .prefault({}),
  /** Credentials and place of the S3 store. Env: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL, AWS_REGION. */
  s3: z
    .strictObject({
      accessKeyId: z.string().optional(),
      secretAccessKey: z.string().optional(),
      sessionToken: z.string().optional(),
      endpoint: z.string().optional(),
      region: z.string().optional(),
    })
    .prefault({}),
})

/** Everything `fd` can be told, with every path absolute and every URL complete (`lmdb:/abs/.fd/log`). */
export type Config = z.infer<typeof schema>

/** What `fd services` can start. */
export type ServiceName = keyof Config['services']

/** Environment variable → path in the config; a later one wins. With the secrets that a file names as `${NAME}`, the only variables the project reads. */
const ENVIRONMENT: Record<
  string,
  | [keyof Config]
  | ['kaggle', keyof Config['kaggle']]
  | ['mlflow', keyof Config['mlflow']]
  | ['s3', keyof Config['s3']]
  | ['metrics', keyof Config['metrics']]
> = {
  FD_HOME: ['home'],
  FD_CACHE: ['cache'],
  KAFKA_BROKERS: ['eventLog'],
  FD_EVENT_LOG: ['eventLog'],
  FD_ONLINE_STORE: ['onlineStore'],
  FD_JOB_QUEUE: ['jobQueue'],
  MLFLOW_TRACKING_URI: ['registry'],
  FD_LAKE: ['lake'],
  FD_METRICS_PORT: ['metrics', 'port'],
  FD_METRICS_HOST: ['metrics', 'host'],
  FD_TOKEN_KEY: ['tokenKey'],
  KAGGLE_USERNAME: ['kaggle', 'username'],
  KAGGLE_KEY: ['kaggle', 'key'],
  MLFLOW_TRACKING_USERNAME: ['mlflow', 'username'],
  MLFLOW_TRACKING_PASSWORD: ['mlflow', 'password'],
  MLFLOW_TRACKING_TOKEN: ['mlflow', 'token'],
  AWS_ACCESS_KEY_ID: ['s3', 'accessKeyId'],
  AWS_SECRET_ACCESS_KEY: ['s3', 'secretAccessKey'],
  AWS_SESSION_TOKEN: ['s3', 'sessionToken'],
  AWS_ENDPOINT_URL: ['s3', 'endpoint'],
  AWS_REGION: ['s3', 'region'],
}

/** Keys under which credentials stand. */
const SECRET = new Set<string>(['tokenKey', 'kaggle', 'mlflow', 's3'] satisfies (keyof Config)[])

/** Folder under `home` in which an embedded driver lives when its URL names none. */
const FOLDERS = { eventLog: 'log', onlineStore: 'online', registry: 'registry', lake: 'lake' } as const
const embedded = Object.keys(FOLDERS) as (keyof typeof FOLDERS)[]
/** URLs in which a secret may be named. */
const urls = [...embedded, 'jobQueue'] as const

/**
 * Reads the configuration: environment over `file` (default `configs/local.yaml`, optional) over defaults.
 * Flags stand above both and are applied by the command that owns them.
 *
 * @throws UserError when a file is missing or not YAML, or a key is unknown or has the wrong type (key and value given), or
 * a secret that a URL names (`${REDIS_PASSWORD}`) is nowhere to be found.
 */
export function loadConfig(file?: string, env: Variables = process.env): Config {
  const config = readConfig(file, env)
  const filled = { ...config, s3: { ...config.s3 } }
  for (const key of urls) filled[key] = withSecrets(config[key], config.home, env, encodeURIComponent)
  for (const key of ['accessKeyId', 'secretAccessKey'] as const)
    filled.s3[key] &&= withSecrets(filled.s3[key], config.home, env)
  return filled
}

/** The same before secrets are put in where `${NAME}` stands: what can be read before there are any. */
export function readConfig(file?: string, env: Variables = process.env): Config {
  const merged: Record<string, unknown> = readConfigFile(file)
  // One server for all that Redis can be; the variables of fd, which name a part, stand above it.
  const redis = env['REDIS_URL']
  if (redis !== undefined && redis !== '') Object.assign(merged, { onlineStore: redis, jobQueue: redis })
  for (const [variable, [key, inner]] of Object.entries(ENVIRONMENT)) {
    const given = env[variable]
    if (given === undefined || given === '') continue
    const value = variable === 'KAFKA_BROKERS' ? `kafka://${given}` : given
    merged[key] = inner === undefined ? value : { ...(merged[key] as object), [inner]: value }
  }
  const result = schema.safeParse(merged)
  if (!result.success)
    throw new UserError(
      `Configuration is not valid:\n${result.error.issues.map((issue) => faultLine(issue, merged, env)).join('\n')}\nMend ${file ?? 'configs/local.yaml'} or the environment.`,
    )
  return complete(result.data)
}

/** Which key, from which variable where it came from one, has which value, and what is wrong with it. Credentials are not shown, nor what might be an address with a password. */
function faultLine({ path, message }: z.core.$ZodIssue, merged: Record<string, unknown>, env: Variables): string {
  const key = path.join('.')
  const variable = Object.entries(ENVIRONMENT).find(
    ([name, place]) => place.join('.') === key && env[name] !== undefined && env[name] !== '',
  )?.[0]
  const value = path.reduce<unknown>(
    (inside, step) => (inside as Record<PropertyKey, unknown> | undefined)?.[step],
    merged,
  )
  const shown =
    path.length === 0 || SECRET.has(String(path[0])) || typeof value === 'object' || String(value).includes('@')
      ? ''
      : ` is ${JSON.stringify(value)}`
  return `  ${key}${variable === undefined ? '' : ` (${variable})`}${shown}${key === '' ? '' : ': '}${message
    .replace(/^Invalid input: /, '')
    .replace(/, received \w+$/, '')
    .replace(/expected int$/, 'expected a whole number')}`
}

/** The same configuration in another home: everything embedded that has no place of its own moves along. */
export function withHome(config: Config, home: string): Config {
  const stay = Object.fromEntries(
    embedded.filter((key) => !inside(config.home, config[key])).map((key) => [key, config[key]]),
  )
  return complete({
    ...config,
    eventLog: 'lmdb:',
    onlineStore: 'lmdb:',
    registry: 'sqlite:',
    lake: 'file:',
    ...stay,
    home,
  })
}

function inside(home: string, url: string): boolean {
  return url.slice(url.indexOf(':') + 1).startsWith(home + sep)
}

function complete(config: Config): Config {
  const home = resolve(config.home)
  const completed = { ...config, home, cache: resolve(config.cache) }
  for (const key of embedded) {
    const url = config[key]
    const [scheme, rest] = [url.slice(0, url.indexOf(':') + 1), url.slice(url.indexOf(':') + 1)]
    if (!['lmdb:', 'sqlite:', 'file:'].includes(scheme)) continue
    completed[key] = scheme + (rest === '' ? join(home, FOLDERS[key]) : resolve(rest))
  }
  return completed
}

function readConfigFile(file: string | undefined): Record<string, unknown> {
  const path = file ?? join(PROJECT_ROOT, 'configs', 'local.yaml')
  if (!existsSync(path)) {
    if (file === undefined) return {}
    throw new UserError(`No configuration file at ${path}. Leave out --config to use the embedded default.`)
  }
  const document = parseYaml(path) ?? {}
  if (typeof document === 'object' && !Array.isArray(document)) return document as Record<string, unknown>
  throw new UserError(`${path} holds ${JSON.stringify(document)}, not keys with values. Write for example: home: .fd`)
}

function parseYaml(path: string): unknown {
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UserError(`${path} is not YAML: ${errorMessage(error)}`, { cause: error })
  }
}
