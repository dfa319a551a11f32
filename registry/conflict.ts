import { UserError } from '../configs/user-error.ts'

/** What was asked contradicts what the registry has, in the words every driver uses. Nothing was written. */

export function experimentTaken(name: string, experimentId: string): UserError {
  return new UserError(`Experiment "${name}" exists already, with id ${experimentId}. Choose another name.`)
}

export function modelTaken(name: string): UserError {
  return new UserError(`Registered model "${name}" exists already. See it with: fd models describe ${name}`)
}

export function paramChanged(runId: string, key: string, logged: string, value: string): UserError {
  return new UserError(
    `Param "${key}" of run ${runId} is "${logged}" and cannot become "${value}": params are written once. Start a new run.`,
  )
}

export function artifactChanged(runId: string, path: string): UserError {
  return new UserError(
    `Artifact "${path}" of run ${runId} was logged with other bytes, and artifacts never change. Log it under another path or in a new run.`,
  )
}

/** @param other what exists, at which `path` would have to be a folder, or which would have to be one. */
export function fileAndFolder(runId: string, path: string, other: string): UserError {
  return new UserError(
    `Artifact "${path}" of run ${runId} would be both file and folder: "${other}" exists. Log it under another path.`,
  )
}

export function sourceEmpty(source: string): UserError {
  return new UserError(`Model source "${source}" has no files. Log the model first, as fd train does.`)
}

/** @param aliases at least one. */
export function versionAliased(name: string, version: number, aliases: string[]): UserError {
  return new UserError(
    `Version ${version} of "${name}" is its ${aliases.join(' and ')} and cannot be deleted. Promote another one first: fd models promote ${name} VERSION --alias ${aliases[0]}`,
  )
}
