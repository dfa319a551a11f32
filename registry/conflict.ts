import { UserError } from '../configs/user-error.ts'

/**
 * Errors for a call that contradicts what the registry already holds, worded once for every driver.
 *
 * The call that throws one has written nothing. The exception is a batch too large for one call to a server: it goes
 * there in several calls, and the calls before the refused one stay.
 */

export function experimentTaken(name: string, experimentId: string): UserError {
  return new UserError(`Experiment "${name}" exists already, with id ${experimentId}. Choose another name.`)
}

export function modelTaken(name: string): UserError {
  return new UserError(`Registered model "${name}" exists already. See it with: fd models describe ${name}`)
}

export function paramChanged(runId: string, key: string, logged: string, value: string): UserError {
  return new UserError(
    `Param "${key}" of run ${runId} is "${logged}" and cannot become "${value}": ` +
      'params are written once. Start a new run.',
  )
}

export function artifactChanged(runId: string, path: string): UserError {
  return new UserError(
    `Artifact "${path}" of run ${runId} was logged with other bytes, and artifacts never change. ` +
      'Log it under another path or in a new run.',
  )
}

/** @param other what exists: either `path` lies below this file, or it is a folder that stands at `path`. */
export function fileAndFolder(runId: string, path: string, other: string): UserError {
  return new UserError(
    `Artifact "${path}" of run ${runId} would be both file and folder: "${other}" exists. ` +
      'Log it under another path.',
  )
}

export function sourceEmpty(source: string): UserError {
  return new UserError(`Model source "${source}" has no files. Log the model first, as fd train does.`)
}

/** @param aliases at least one. */
export function versionAliased(name: string, version: number, aliases: string[]): UserError {
  return new UserError(
    `Version ${version} of "${name}" is its ${aliases.join(' and ')} and cannot be deleted. ` +
      `Promote another one first: fd models promote ${name} VERSION --alias ${aliases[0]}`,
  )
}
