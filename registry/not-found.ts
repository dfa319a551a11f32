import { UserError } from '../configs/user-error.ts'
import type { RegisteredModel } from './model.ts'

/** The call named something that is not in the registry. The message says what is, and what to type next. */
export class NotFoundError extends UserError {
  constructor(message: string) {
    super(message)
    this.name = 'NotFoundError'
  }
}

/** @param existing names of the registered models, in order. */
export function noSuchModel(name: string, existing: string[]): NotFoundError {
  const there = existing.length > 0 ? `; there ${listed(existing)}` : ', the registry is empty'
  return new NotFoundError(`No registered model "${name}"${there}. ${trainAndRegister(name)}`)
}

/** @param existing version numbers, rising. */
export function noSuchVersion(name: string, version: number, existing: number[]): NotFoundError {
  if (existing.length === 0) {
    return new NotFoundError(`No version ${version} of "${name}", it has none. ${trainAndRegister(name)}`)
  }
  return new NotFoundError(
    `No version ${version} of "${name}"; there ${listed(existing.map(String))}. ` +
      `Run: fd models describe ${name}/${existing.at(-1)}`,
  )
}

export function noSuchAlias(
  model: Pick<RegisteredModel, 'name' | 'aliases' | 'latestVersion'>,
  alias: string,
): NotFoundError {
  const { name, aliases, latestVersion } = model
  if (latestVersion === undefined) {
    return new NotFoundError(`No ${alias} for "${name}", it has no versions. ${trainAndRegister(name)}`)
  }
  const others = Object.entries(aliases).map(([other, version]) => `${other} (version ${version})`)
  const there = others.length > 0 ? `; there ${listed(others)}` : ''
  const option = alias === 'champion' ? '' : ` --alias ${alias}`
  return new NotFoundError(
    `No ${alias} for "${name}"${there}. Run: fd models promote ${name} ${latestVersion}${option}`,
  )
}

export function noSuchRun(runId: string): NotFoundError {
  return new NotFoundError(`No run "${runId}" in this registry. Run: fd models list`)
}

/** @param existing `ID ("NAME")` of the experiments, by id. */
export function noSuchExperiment(experimentId: string, existing: string[]): NotFoundError {
  return new NotFoundError(`No experiment with id "${experimentId}"; there ${listed(existing)}. Run: fd doctor`)
}

/** @param existing paths of the run's artifacts. */
export function noSuchArtifact(runId: string, path: string, existing: string[]): NotFoundError {
  const there = existing.length > 0 ? `; there ${listed(existing)}` : ', it has none'
  return new NotFoundError(
    `No artifact "${path}" in run ${runId}${there}. ` +
      'Log it by training again: fd train --dataset NAME --register MODEL',
  )
}

function trainAndRegister(name: string): string {
  return `Run: fd train --dataset NAME --register ${name}`
}

/** At most the last ten. */
function listed(items: string[]): string {
  const shown = items.slice(-10).join(', ')
  return `${items.length === 1 ? 'is' : 'are'} ${items.length > 10 ? '… ' : ''}${shown}`
}
