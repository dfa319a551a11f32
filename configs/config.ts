import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import { z } from 'zod'
import { readConfigFiles } from './config-file.ts'
import { readCredentials, withSecrets, type Variables } from './credentials.ts'
import { durationOrMs } from './duration.ts'
import { HEARTBEAT_MS, LONGEST_HEARTBEAT_MS } from './heartbeat.ts'
import { PROJECT_FILE, requireProject } from './project.ts'
import { ringLimit } from './ring-limit.ts'
import { UserError } from './user-error.ts'

/**
 * The environment for a child process that works in another home with the same services: it gets the secrets of our
 * home.
 */
export function environmentWithHome(home: string, env: Variables = process.env): Variables {
  return { ...readCredentials(resolve(env['FD_HOME'] ?? join(env['FD_PROJECT'] ?? '', '.fd'))), ...env, FD_HOME: home }
}

/** The environment for a child process, with some variables set. */
export function environmentWith(variables: Variables): Variables {
  return { ...process.env, ...variables }
}

/** Name and version of the package, `fd 0.1.0`. `code-version.ts` says which code of that version it is. */
export function packageVersion(): string {
  const { name, version } = z
    .object({ name: z.string(), version: z.string() })
    .parse(JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')))
  return `${name} ${version}`
}

/** Root of the project: the folder that holds `configs/` and the other folders. */
export const PROJECT_ROOT = resolve(import.meta.dirname, '..')

/** Where datasets are described unless the configuration names another folder; `example.yaml` there shows the form. */
export const DATASET_FOLDER = join(PROJECT_ROOT, 'configs', 'datasets')

const text = z.string()
const port = z.number().int().min(1).max(65_535)
const positive = z.number().int().positive()

/** The servers that `fd services` starts, each on 127.0.0.1. One that is left out is not started. */
const services = z.strictObject({
  redis: z.strictObject({ port }).optional(),
  kafka: z.strictObject({ port, controllerPort: port, version: text }).optional(),
  mlflow: z.strictObject({ port, version: text }).optional(),
  s3: z.strictObject({ port, version: text, bucket: text }).optional(),
})

const scorer = z.strictObject({
  /** Consumer group: the scorers of one group share the work. */
  group: text.default('scorer'),
  /**
   * Partitions of the topic `transactions`: it is made with so many, and must have them. As many scorers can share the
   * work.
   */
  partitions: positive.default(1),
  /** Least time between two state checkpoints, ms; also the most work repeated after a kill. */
  checkpointEveryMs: positive.default(1000),
  /** Most transactions in one ONNX call. */
  maxBatch: positive.default(1024),
  /** How far an event may lie ahead of its record's append: `1h`, or ms. One from further ahead is a dead letter. */
  maxAhead: durationOrMs.prefault('1h'),
  /** How long ids are remembered where no view holds every transaction: `1d`, or ms of event time; 0: not at all. */
  rememberIds: durationOrMs.prefault('1d'),
  /** How often the scorer asks the registry for a new champion, ms: at least once an hour. */
  championEveryMs: positive.max(60 * 60_000).default(250),
})

const metrics = z.strictObject({
  /** Without a port nothing is served; 0 takes a free one. */
  port: z.coerce.number().int().min(0).max(65_535).optional(),
  host: text.default('127.0.0.1'),
})

const kaggle = z.strictObject({ username: text.optional(), key: text.optional() })

const mlflow = z.strictObject({
  username: text.optional(),
  password: text.optional(),
  token: text.optional(),
})

const s3 = z.strictObject({
  accessKeyId: text.optional(),
  secretAccessKey: text.optional(),
  sessionToken: text.optional(),
  endpoint: text.optional(),
  region: text.optional(),
})

/** Every field of a configuration with its default; `ENVIRONMENT` below has the variable of each. */
const schema = z.strictObject({
  /** Folder of everything embedded. Two homes are two worlds. */
  home: text.default('.fd'),
  /** Folder of installed servers, which can be downloaded again. All homes share it. */
  cache: text.default(join(homedir(), '.cache', 'fd')),
  /** `lmdb:`, `lmdb:FOLDER` or `kafka://HOST:PORT,HOST:PORT`. */
  eventLog: text.default('lmdb:'),
  /** `lmdb:`, `lmdb:FOLDER`, `redis://…` or `rediss://…`. */
  onlineStore: text.default('lmdb:'),
  /** `local:`, or `redis://…` or `rediss://…`, whose jobs every `fd worker` with the same URL takes. */
  jobQueue: text.default('local:'),
  /** `sqlite:`, `sqlite:FOLDER`, or `http://HOST:PORT` of an MLflow server. */
  registry: text.default('sqlite:'),
  /** `file:`, `file:FOLDER`, or `s3://BUCKET/PREFIX?endpoint=URL`. */
  lake: text.default('file:'),
  /** How often the owner of a run or of jobs gives a sign of life, ms. `SILENT_BEATS` of these without one: gone. */
  heartbeatMs: positive.max(LONGEST_HEARTBEAT_MS).default(HEARTBEAT_MS),
  /** Servers of `fd services`; no other command reads it. */
  services: services.default({}),
  /** Folder of the user's own datasets, a YAML file each. A project's is `datasets`. */
  datasetFolder: text.default(DATASET_FOLDER),
  /** Folder of the user's own feature services, a TypeScript file each. A project's is `features`. */
  featureFolder: text.optional(),
  /** By dataset name: where its file is when no `--data` is given. */
  datasets: z.record(text, z.strictObject({ path: text })).default({}),
  /** `maxEvents`: the most events of a key that a view keeps (README). A model keeps the limit it was trained with. */
  features: z.strictObject({ maxEvents: ringLimit.default(2 ** 20) }).prefault({}),
  scorer: scorer.prefault({}),
  /** Where `fd score` serves /metrics and /healthz. */
  metrics: metrics.prefault({}),
  /** Secret under which card numbers become tokens. It belongs in the environment, never in a file of the project. */
  tokenKey: text.optional(),
  /** Credentials of Kaggle's API, for `fd datasets fetch kaggle-cc`. They too belong in the environment only. */
  kaggle: kaggle.prefault({}),
  /** Credentials of the MLflow server: user and password, or a token. */
  mlflow: mlflow.prefault({}),
  /** Credentials and place of the S3 store. */
  s3: s3.prefault({}),
})

/** Everything `fd` can be told, with every path absolute and every URL complete (`lmdb:/abs/.fd/log`). */
export type Config = z.infer<typeof schema> & {
  /** The user's project, where there is one. */
  project?: string
}

/** The servers that `fd services` can start. */
export type ServiceName = keyof Config['services']

type Field = keyof z.infer<typeof schema>
type Section = 'kaggle' | 'mlflow' | 's3' | 'metrics'

/** The path of a field in the config. */
type FieldPath = [Field] | { [S in Section]: [S, keyof Config[S]] }[Section]

/**
 * Environment variable → the field it sets; a later one wins. Besides these a configuration takes only REDIS_URL and
 * the secrets that it names as `${NAME}` from the environment.
 */
const ENVIRONMENT: Record<string, FieldPath> = {
  FD_HOME: ['home'],
  FD_CACHE: ['cache'],
  FD_DATASET_FOLDER: ['datasetFolder'],
  /** Without the scheme: `HOST:PORT,HOST:PORT`. */
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

/** Fields that hold credentials. */
const SECRET = new Set<string>(['tokenKey', 'kaggle', 'mlflow', 's3'] satisfies Field[])

/** Folder under `home` of an embedded driver whose URL names no folder. */
const FOLDERS = { eventLog: 'log', onlineStore: 'online', registry: 'registry', lake: 'lake' } as const
const embedded = Object.keys(FOLDERS) as (keyof typeof FOLDERS)[]
/** URLs that may name a secret. */
const urls = [...embedded, 'jobQueue'] as const

/**
 * Reads the configuration: environment over `file` over the project's `fd.yaml` (FD_PROJECT) over defaults. Where there
 * is no project, `configs/local.yaml` stands for a `file` that is not given. Flags stand above all; the command that
 * owns a flag applies it.
 *
 * @throws UserError when a file is missing or not YAML, when a key is unknown or has the wrong type (key and value
 * given), or when a secret that a URL names (`${REDIS_PASSWORD}`) is set nowhere.
 */
export function loadConfig(file?: string, env: Variables = process.env): Config {
  const config = readConfig(file, env)
  const filled = { ...config, s3: { ...config.s3 } }
  for (const key of urls) filled[key] = withSecrets(config[key], config.home, env, encodeURIComponent)
  for (const key of ['accessKeyId', 'secretAccessKey'] as const) {
    filled.s3[key] &&= withSecrets(filled.s3[key], config.home, env)
  }
  return filled
}

/** The same with `${NAME}` left in place of secrets, for commands that run before there are any. */
export function readConfig(file?: string, env: Variables = process.env): Config {
  const given = env['FD_PROJECT']
  const project = given === undefined || given === '' ? undefined : requireProject(given)
  const merged = readConfigFiles(file, project, join(PROJECT_ROOT, 'configs', 'local.yaml'))
  // REDIS_URL names one server for both uses of Redis. The variables of fd name one use each and stand above it.
  const redis = env['REDIS_URL']
  if (redis !== undefined && redis !== '') Object.assign(merged, { onlineStore: redis, jobQueue: redis })
  for (const [variable, [key, inner]] of Object.entries(ENVIRONMENT)) {
    const given = env[variable]
    if (given === undefined || given === '') continue
    const value = variable === 'KAFKA_BROKERS' ? `kafka://${given}` : given
    merged[key] = inner === undefined ? value : { ...(merged[key] as object), [inner]: value }
  }
  const result = schema.safeParse(merged)
  if (!result.success) {
    const faults = result.error.issues.map((issue) => faultLine(issue, merged, env)).join('\n')
    const source = file ?? (project === undefined ? 'configs/local.yaml' : join(project, PROJECT_FILE))
    throw new UserError(`Configuration is not valid:\n${faults}\nMend ${source} or the environment.`)
  }
  return complete(project === undefined ? result.data : { ...result.data, project })
}

/**
 * One line of the message: the key, the variable that set it if one did, the value where it may be shown, and the
 * fault.
 */
function faultLine({ path, message }: z.core.$ZodIssue, merged: Record<string, unknown>, env: Variables): string {
  const key = path.join('.')
  const variable = Object.entries(ENVIRONMENT).find(
    ([name, place]) => place.join('.') === key && env[name] !== undefined && env[name] !== '',
  )?.[0]
  const value = path.reduce<unknown>(
    (inside, step) => (inside as Record<PropertyKey, unknown> | undefined)?.[step],
    merged,
  )
  const fault = message
    .replace(/^Invalid input: /, '')
    .replace(/, received \w+$/, '')
    .replace(/expected int$/, 'expected a whole number')
  const source = variable === undefined ? '' : ` (${variable})`
  return `  ${key}${source}${shownValue(path, value)}${key === '' ? '' : ': '}${fault}`
}

/** ` is VALUE`, or nothing for credentials and for text that might be an address with a password. */
function shownValue(path: PropertyKey[], value: unknown): string {
  if (path.length === 0 || SECRET.has(String(path[0])) || typeof value === 'object') return ''
  return typeof value === 'string' && value.includes('@') ? '' : ` is ${JSON.stringify(value)}`
}

/**
 * The same configuration in another home. Everything embedded moves along, unless its URL names a place outside of the
 * old home.
 */
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
  const [cache, datasetFolder] = [config.cache, config.datasetFolder].map((path) => resolve(path))
  const featureFolder = config.featureFolder === undefined ? {} : { featureFolder: resolve(config.featureFolder) }
  const completed = { ...config, home, cache, datasetFolder, ...featureFolder }
  for (const key of embedded) {
    const url = config[key]
    const [scheme, rest] = [url.slice(0, url.indexOf(':') + 1), url.slice(url.indexOf(':') + 1)]
    if (!['lmdb:', 'sqlite:', 'file:'].includes(scheme)) continue
    completed[key] = scheme + (rest === '' ? join(home, FOLDERS[key]) : resolve(rest))
  }
  return completed
}
