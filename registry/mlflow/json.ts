import { z } from 'zod'
import type { ArtifactInfo, Experiment, Metric, ModelVersion, RegisteredModel, Run } from '../model.ts'
import { HISTORY_RUN } from '../naming.ts'

/**
 * MLflow's JSON, and the types of `model.ts` that it becomes. Its rules are those of proto2: a field that is not set
 * and an empty list are left out, and unknown fields are ignored. Experiment ids and version numbers are text. Other
 * 64-bit integers are numbers, or text.
 */

const text = z.string().default('')
const integer = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?\d+$/)
    .transform(Number),
])
/** JSON has no NaN and no infinities, so MLflow writes them as text. */
const real = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity']).transform(Number)])
const pair = z.object({ key: z.string(), value: text })

/** A list of keys and values as an object, in which `__proto__` is a key like any other. */
const pairs = z
  .array(pair)
  .default([])
  .transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, value])))

/** An object as the list of keys and values that MLflow takes. */
export function pairsOf(object: Record<string, string>): { key: string; value: string }[] {
  return Object.entries(object).map(([key, value]) => ({ key, value }))
}

/** A number as MLflow takes it. */
export function realOf(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}

export const experiment = z
  .object({
    experiment_id: z.string(),
    name: z.string(),
    tags: pairs,
    creation_time: integer.default(0),
    last_update_time: integer.default(0),
  })
  .transform((wire): Experiment => ({
    experimentId: wire.experiment_id,
    name: wire.name,
    tags: wire.tags,
    creationTime: wire.creation_time,
    lastUpdateTime: wire.last_update_time,
  }))

export const metric = z
  .object({ key: z.string(), value: real, timestamp: integer, step: integer.default(0) })
  .transform((wire): Metric => wire)

const info = z.object({
  run_id: z.string(),
  run_name: text,
  experiment_id: z.string(),
  status: z.enum(['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED']),
  start_time: integer.default(0),
  end_time: integer.default(0),
  artifact_uri: text,
})
const data = z.object({ params: pairs, tags: pairs, metrics: z.array(metric).default([]) })

/** A run that resumed keeps its old `end_time` on the server, which has no call to clear it. It is dropped here. */
export const run = z.object({ info, data: data.prefault({}) }).transform(({ info, data }): Run => {
  const { status } = info
  const base = {
    runId: info.run_id,
    runName: info.run_name,
    experimentId: info.experiment_id,
    startTime: info.start_time,
    artifactUri: info.artifact_uri,
    params: data.params,
    metrics: Object.fromEntries(data.metrics.map(({ key, value }) => [key, value])),
    tags: data.tags,
  }
  return status === 'RUNNING' || status === 'SCHEDULED'
    ? { ...base, status }
    : { ...base, status, endTime: info.end_time }
})

export const artifact = z
  .object({ path: z.string(), is_dir: z.boolean().default(false), file_size: integer.default(0) })
  .transform(({ path, is_dir: isDir, file_size: fileSize }): ArtifactInfo =>
    isDir ? { path, isDir } : { path, isDir, fileSize },
  )

const version = z.coerce.number().int().positive()

/** A search gives versions without their aliases; `searchModelVersions` adds them. */
export const modelVersion = z
  .object({
    name: z.string(),
    version,
    description: text,
    creation_timestamp: integer.default(0),
    last_updated_timestamp: integer.default(0),
    source: text,
    run_id: text,
    tags: pairs,
    aliases: z.array(z.string()).default([]),
    status: z.enum(['READY', 'PENDING_REGISTRATION', 'FAILED_REGISTRATION']).default('READY'),
    status_message: text,
  })
  .transform((wire): ModelVersion => {
    const base = {
      name: wire.name,
      version: wire.version,
      description: wire.description,
      creationTime: wire.creation_timestamp,
      lastUpdatedTime: wire.last_updated_timestamp,
      source: sourceInRun(wire.source, wire.run_id),
      ...(wire.run_id === '' ? {} : { runId: wire.run_id }),
      tags: wire.tags,
      aliases: wire.aliases.toSorted(),
    }
    return wire.status === 'FAILED_REGISTRATION'
      ? { ...base, status: wire.status, statusMessage: wire.status_message }
      : { ...base, status: wire.status }
  })

/**
 * The source as `runs:/RUN_ID/FOLDER`, the form of every driver here. The Python client registers the folder's place in
 * the artifact store instead.
 */
function sourceInRun(source: string, runId: string): string {
  const root = `/${runId}/artifacts/`
  const at = runId === '' ? -1 : source.indexOf(root)
  return at === -1 ? source : `runs:/${runId}/${source.slice(at + root.length)}`
}

/** A model with every tag, those of `fd`'s own upkeep included. */
export const taggedModel = z
  .object({
    name: z.string(),
    description: text,
    creation_timestamp: integer.default(0),
    last_updated_timestamp: integer.default(0),
    tags: pairs,
    aliases: z.array(z.object({ alias: z.string(), version })).default([]),
    latest_versions: z.array(z.object({ version })).default([]),
  })
  .transform((wire): RegisteredModel => ({
    name: wire.name,
    description: wire.description,
    creationTime: wire.creation_timestamp,
    lastUpdatedTime: wire.last_updated_timestamp,
    tags: wire.tags,
    aliases: Object.fromEntries(wire.aliases.map(({ alias, version }) => [alias, version])),
    // MLflow gives the newest version of each stage; the newest of all is one of them.
    latestVersion:
      wire.latest_versions.length === 0 ? undefined : Math.max(...wire.latest_versions.map(({ version }) => version)),
  }))

/** A model as the port shows it. */
export const registeredModel = taggedModel.transform((model): RegisteredModel => {
  const tags = Object.entries(model.tags).filter(([key]) => key !== HISTORY_RUN)
  return { ...model, tags: Object.fromEntries(tags) }
})

/** One page of a list. */
export interface Page<T> {
  items: T[]
  /** The token of the next page; undefined on the last one. */
  next: string | undefined
}

/** One page of a list that MLflow calls `name`. No token, or an empty one, marks the last page. */
export function page<S extends z.ZodType>(name: string, item: S): z.ZodType<Page<z.output<S>>> {
  return z.object({ [name]: z.array(item).default([]), next_page_token: text }).transform((wire) => ({
    items: wire[name] as z.output<S>[],
    next: wire.next_page_token === '' ? undefined : String(wire.next_page_token),
  }))
}
