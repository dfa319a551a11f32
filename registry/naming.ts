import { UserError } from '../configs/user-error.ts'
import type { EpochMs } from '../datasets/transaction.ts'
import type { Tags } from './model.ts'

/**
 * What MLflow accepts as a name, checked before a driver is asked, so that what was logged embedded can move to a server.
 * Limits: MLflow 3.6 (`mlflow/utils/validation.py`). Two are stricter here, and say so: values are refused, not cut, and
 * a model's name holds nothing that would break `models:/NAME@ALIAS`.
 */

const MAX_KEY = 250
export const MAX_PARAM_VALUE = 6_000
export const MAX_RUN_TAG_VALUE = 8_000
export const MAX_EXPERIMENT_TAG_VALUE = 5_000
const MAX_REGISTRY_TAG_VALUE = 100_000

/** Tags of a registered model that begin so are its history: written once, never changed, never deleted. */
export const HISTORY_TAG = 'fd.history.'

/** @throws UserError unless `name` has 1 to 500 characters. */
export function checkExperimentName(name: string): void {
  if (name.length < 1 || name.length > 500) throw new UserError(`Experiment name ${quote(name)} must have 1 to 500 characters. Choose another one.`)
}

/** @throws UserError unless `name` has 1 to 256 characters, none of `/ \ : @ % " '` or a control character, no space at its ends. */
export function checkModelName(name: string): void {
  // oxlint-disable-next-line no-control-regex -- control characters are what this refuses
  if (name.length < 1 || name.length > 256 || name !== name.trim() || /[/\\:@%"'\u0000-\u001f]/.test(name)) {
    throw new UserError(`Model name ${quote(name)} must have 1 to 256 characters and none of / \\ : @ % " '. Use for example: card-fraud`)
  }
}

/** @throws UserError unless `alias` is 1 to 255 of `[A-Za-z0-9_-]` and neither `latest` nor like `v3`, which mean versions. */
export function checkAlias(alias: string): void {
  if (!/^[\w-]{1,255}$/.test(alias) || /^latest$/i.test(alias) || /^v\d+$/i.test(alias)) {
    throw new UserError(`Alias ${quote(alias)} must have letters, digits, _ and - only, and not be "latest" or like "v3". Use for example: champion`)
  }
}

/** @throws UserError unless `key` is one MLflow takes for a param, metric or tag of a run or experiment: also a clean relative path. */
export function checkKey(kind: 'param' | 'metric' | 'tag', key: string): void {
  if (key.length > MAX_KEY || !/^[/\w.\- :]+$/.test(key) || !isCleanPath(key)) {
    throw new UserError(`${kind[0].toUpperCase()}${kind.slice(1)} name ${quote(key)} must have 1 to ${MAX_KEY} of letters, digits, _ - . : / and space, and be no path with "..", "//" or a leading or trailing "/".`)
  }
}

/** @throws UserError when `value` is longer than `most`; a value cut in silence could not be replayed. */
export function checkLength(what: string, value: string, most: number): void {
  if (value.length > most) throw new UserError(`${what} has ${value.length} characters, at most ${most} are kept. Log it as an artifact instead.`)
}

/** @throws UserError unless every tag of a run or experiment has a legal name and a value of at most `longest` characters. */
export function checkTags(tags: Tags, longest: number): void {
  for (const [key, value] of Object.entries(tags)) {
    checkKey('tag', key)
    checkLength(`Tag "${key}"`, value, longest)
  }
}

/** @throws UserError unless `time` is whole milliseconds, not negative. */
export function checkTime(what: string, time: EpochMs): void {
  if (!Number.isSafeInteger(time) || time < 0) throw new UserError(`${what} is ${time}, it must be whole milliseconds since 1970.`)
}

/** @throws UserError unless `key` and `value` fit a tag in the model registry. */
export function checkRegistryTag(key: string, value: string): void {
  if (key.length < 1 || key.length > MAX_KEY) throw new UserError(`Tag name ${quote(key)} must have 1 to ${MAX_KEY} characters.`)
  checkLength(`Tag "${key}"`, value, MAX_REGISTRY_TAG_VALUE)
}

/** @throws UserError when `key` belongs to the history, which grows only through promotions, rollbacks and registrations. */
export function checkNotHistory(key: string): void {
  if (key.startsWith(HISTORY_TAG)) throw new UserError(`Tag "${key}" is part of the model's history, which is append-only. See it with: fd models history NAME`)
}

/** @throws UserError unless `path` is relative, with `/`, and stays inside the run's artifacts. */
export function checkArtifactPath(path: string): void {
  // oxlint-disable-next-line no-control-regex -- control characters are what this refuses
  if (!isCleanPath(path) || path.length > 1_000 || /[\\:\u0000-\u001f]/.test(path)) {
    throw new UserError(`Artifact path ${quote(path)} must be relative, like model/model.onnx, without "..", "//", "\\" or ":".`)
  }
}

/** Equal to its own normal form as a POSIX path below some folder. */
function isCleanPath(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
}
