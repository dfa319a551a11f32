import { UserError } from '../configs/user-error.ts'
import type { EpochMs } from '../datasets/table/transaction.ts'
import type { Metric, RunEnd, Tags } from './model.ts'

/**
 * What MLflow accepts as names and values. The embedded driver checks them too, so that what it logged can move to a
 * server. Limits: MLflow 3.6 (`mlflow/utils/validation.py`).
 *
 * Two rules are stricter than MLflow's: a value that is too long is refused, not cut, and a model's name holds nothing
 * that would break `models:/NAME@ALIAS`.
 */

const MAX_KEY = 250
const MAX_PARAM_VALUE = 6_000
export const MAX_RUN_TAG_VALUE = 8_000
/** A server keeps the end of a run in a param, with some marks beside it. */
const MAX_END = MAX_PARAM_VALUE - 500
export const MAX_EXPERIMENT_TAG_VALUE = 5_000
const MAX_REGISTRY_TAG_VALUE = 100_000
const MAX_RESULTS = 50_000

/** The tag in which MLflow repeats a run's name. */
export const RUN_NAME = 'mlflow.runName'

/** The tag that says why a run was ended. */
export const END_REASON = 'fd.end.reason'

/** A registered model's tags with this prefix are its history: written once, never changed, never deleted. */
export const HISTORY_TAG = 'fd.history.'

/** The tag that names, on a server, the run which decides the order of a model's history. */
export const HISTORY_RUN = 'fd.history_run'

/** @throws UserError unless `name` has 1 to 500 characters. */
export function checkExperimentName(name: string): void {
  if (name.length < 1 || name.length > 500) {
    throw new UserError(`Experiment name ${quote(name)} must have 1 to 500 characters. Choose another one.`)
  }
}

/**
 * @throws UserError unless `name` has 1 to 256 characters, none of them `/ \ : @ % " '` or a control character, no
 * space at either end, and no two dots at its start. `.` alone is none either.
 */
export function checkModelName(name: string): void {
  if (
    name.length < 1 ||
    name.length > 256 ||
    name !== name.trim() ||
    // oxlint-disable-next-line no-control-regex -- control characters are what this refuses
    /[/\\:@%"'\u0000-\u001f]/.test(name) ||
    !isCleanPath(name)
  ) {
    throw new UserError(
      `Model name ${quote(name)} must have 1 to 256 characters, none of / \\ : @ % " ', and not begin with ".." ` +
        'or be ".". Use for example: card-fraud',
    )
  }
}

/**
 * @throws UserError unless `alias` is 1 to 255 of `[A-Za-z0-9_-]`, and neither `latest` nor like `v3`: those mean
 * versions.
 */
export function checkAlias(alias: string): void {
  if (!/^[\w-]{1,255}$/.test(alias) || /^latest$/i.test(alias) || /^v\d+$/i.test(alias)) {
    throw new UserError(
      `Alias ${quote(alias)} must have letters, digits, _ and - only, and not be "latest" or like "v3". ` +
        'Use for example: champion',
    )
  }
}

/**
 * MLflow may treat a key as a file name, so a key must also be a clean relative path.
 *
 * @throws UserError unless MLflow takes `key` for a param, metric or tag of a run or experiment.
 */
function checkKey(kind: 'param' | 'metric' | 'tag', key: string): void {
  if (key.length > MAX_KEY || !/^[/\w.\- :]+$/.test(key) || !isCleanPath(key)) {
    throw new UserError(
      `${kind[0].toUpperCase()}${kind.slice(1)} name ${quote(key)} must have 1 to ${MAX_KEY} of ` +
        'letters, digits, _ - . : / and space, and be no path with "..", "//" or a leading or trailing "/".',
    )
  }
}

/** @throws UserError when `value` has more than `most` characters. A value cut in silence could not be replayed. */
function checkLength(what: string, value: string, most: number): void {
  if (value.length > most) {
    throw new UserError(
      `${what} has ${value.length} characters, at most ${most} are kept. Log it as an artifact instead.`,
    )
  }
}

/**
 * @throws UserError unless each tag of a run or experiment has a legal name and a value of at most `longest`
 * characters.
 */
export function checkTags(tags: Tags, longest: number): void {
  for (const [key, value] of Object.entries(tags)) {
    checkKey('tag', key)
    checkLength(`Tag "${key}"`, value, longest)
  }
}

/** @throws UserError unless the tags of a run's end are legal, and short enough for the param of a server. */
export function checkEnd({ reason, tags = {} }: RunEnd): void {
  const all = reason === undefined ? tags : { ...tags, [END_REASON]: reason }
  checkTags(all, MAX_RUN_TAG_VALUE)
  checkLength('The end of a run', JSON.stringify(all), MAX_END)
}

/** @throws UserError unless a param has a legal name and a value short enough to be kept whole. */
export function checkParam(key: string, value: string): void {
  checkKey('param', key)
  checkLength(`Param "${key}"`, value, MAX_PARAM_VALUE)
}

/**
 * @throws UserError unless the name is legal, the step whole, the time whole and not negative, and the value a number.
 * NaN and the infinities are numbers.
 */
export function checkMetric({ key, value, timestamp, step }: Metric): void {
  checkKey('metric', key)
  checkTime(`The timestamp of metric "${key}"`, timestamp)
  if (!Number.isSafeInteger(step)) {
    throw new UserError(`The step of metric "${key}" is ${step}, it must be a whole number.`)
  }
  if (typeof value !== 'number') {
    throw new UserError(`Metric "${key}" is ${JSON.stringify(value)}, it must be a number.`)
  }
}

/** @throws UserError unless a search asks for tags, params and a metric of legal names. */
export function checkSearchKeys({ tags = {}, params = {} }: { tags?: Tags; params?: Tags }, metric?: string): void {
  for (const key of Object.keys(tags)) checkKey('tag', key)
  for (const key of Object.keys(params)) checkKey('param', key)
  if (metric !== undefined) checkKey('metric', metric)
}

/** @throws UserError unless 1 ≤ `maxResults` ≤ 50,000. */
export function checkMaxResults(maxResults: number): void {
  if (!Number.isInteger(maxResults) || maxResults < 1 || maxResults > MAX_RESULTS) {
    throw new UserError(`maxResults ${maxResults} must be a whole number from 1 to ${MAX_RESULTS}.`)
  }
}

/** @throws UserError unless `time` is whole milliseconds, not negative. */
export function checkTime(what: string, time: EpochMs): void {
  if (!Number.isSafeInteger(time) || time < 0) {
    throw new UserError(`${what} is ${time}, it must be whole milliseconds since 1970.`)
  }
}

/** @throws UserError unless `key` and `value` fit a tag in the model registry. */
export function checkRegistryTag(key: string, value: string): void {
  if (key.length < 1 || key.length > MAX_KEY) {
    throw new UserError(`Tag name ${quote(key)} must have 1 to ${MAX_KEY} characters.`)
  }
  checkLength(`Tag "${key}"`, value, MAX_REGISTRY_TAG_VALUE)
}

/** @throws UserError when `key` belongs to the history. Only registrations, promotions and rollbacks add to that. */
export function checkNotHistory(key: string): void {
  if (key.startsWith(HISTORY_TAG) || key === HISTORY_RUN) {
    throw new UserError(
      `Tag "${key}" is part of the model's history, which is append-only. See it with: fd models history NAME`,
    )
  }
}

/** @throws UserError unless `key` and `value` fit a tag of a registered model that is not its history. */
export function checkModelTag(key: string, value: string): void {
  checkNotHistory(key)
  checkRegistryTag(key, value)
}

/** The place of a model's files: a folder among the artifacts of a run. */
interface ModelFolder {
  runId: string
  folder: string
}

/** @throws UserError unless `source` is `runs:/RUN_ID/FOLDER` and `runId`, when given, is the run in it. */
export function parseModelSource({ source, runId }: { source: string; runId?: string }): ModelFolder {
  const [, id, folder] = /^runs:\/([^/]+)\/(.+)$/.exec(source) ?? []
  if (id === undefined) {
    throw new UserError(
      `Model source "${source}" must be runs:/RUN_ID/FOLDER, ` +
        "the folder of the model's files in a run of this registry.",
    )
  }
  if (runId !== undefined && runId !== id) {
    throw new UserError(`Model source "${source}" is not of run ${runId}. Give the run that logged the model.`)
  }
  return { runId: id, folder }
}

/** @throws UserError unless `path` is relative, with `/`, and stays inside the run's artifacts. */
export function checkArtifactPath(path: string): void {
  // oxlint-disable-next-line no-control-regex -- control characters are what this refuses
  if (!isCleanPath(path) || path.length > 1_000 || /[\\:\u0000-\u001f]/.test(path)) {
    throw new UserError(
      `Artifact path ${quote(path)} must be relative, like model/model.onnx, without "..", "//", "\\" or ":".`,
    )
  }
}

/**
 * True for a POSIX path below some folder that is its own normal form. MLflow takes whatever begins with two dots for a
 * way out of the folder.
 */
function isCleanPath(path: string): boolean {
  return !path.startsWith('..') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
}
