import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { RegisteredModel } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import { CHAMPION } from '../../serving/topics.ts'
import { timeWord } from '../console/command-line.ts'
import type { Context } from '../console/command.ts'
import { modelName } from '../console/model-name.ts'

/** What comes next for a model: to score with its champion, or to make its newest version that. */
export function nextOf(fd: Context['fd'], { name, aliases, latestVersion }: RegisteredModel): string {
  if (aliases[CHAMPION] !== undefined) return fd('score', { model: name })
  return latestVersion === undefined
    ? fd('train', { dataset: 'NAME', register: name })
    : fd('models', 'promote', name, latestVersion)
}

/**
 * What comes next for a new champion: to stream what its training left of the file; undefined where it left nothing, or
 * where its run does not say.
 */
export async function afterPromotion(
  registry: Registry,
  config: Config,
  fd: Context['fd'],
  { name, version }: { name: string; version: number },
): Promise<string | undefined> {
  const [{ readModelCard }, { RUN_PARAMS }, { openDataset }] = await Promise.all([
    import('../../registry/model-card.ts'),
    import('../../training/run.ts'),
    import('../../datasets/catalog.ts'),
  ])
  const model = await registry.getModelVersion(name, version)
  if (model.runId === undefined) return undefined
  const { params } = await registry.getRun(model.runId)
  const until = params[RUN_PARAMS.until]
  if (until === undefined) return undefined
  const { dataset } = readModelCard(model)
  const file = params[RUN_PARAMS.file]
  const usual = await openDataset(dataset.name, config).catch((error: unknown) => {
    if (error instanceof UserError) return undefined
    throw error
  })
  return fd('produce', {
    dataset: dataset.name,
    data: usual?.file === file ? undefined : file,
    from: timeWord(Number(until)),
    sort: params[RUN_PARAMS.sort] === 'true',
  })
}

/** Reads `name`, `name@alias` or `name/version`. A name alone is its champion, or else its newest version. */
export async function findVersion(
  registry: Registry,
  given: string | undefined,
  propose: (name: string) => string,
): Promise<{ name: string; version: number }> {
  const reference = await modelName(registry, given, propose)
  const [, name, alias, number] = /^([^@/]+)(?:@(.+)|\/(\d+))?$/.exec(reference) ?? []
  if (name === undefined) {
    throw new UserError(
      `"${reference}" is not NAME, NAME@ALIAS or NAME/VERSION. For example: fd models describe card-fraud@champion`,
    )
  }
  if (number !== undefined) return { name, version: Number(number) }
  if (alias !== undefined) return { name, version: (await registry.getModelVersionByAlias(name, alias)).version }
  const model = await registry.getRegisteredModel(name)
  const version = model.aliases['champion'] ?? model.latestVersion
  if (version === undefined) {
    throw new UserError(`"${name}" has no versions. Run: fd train --dataset NAME --register ${name}`)
  }
  return { name, version }
}

/**
 * Reads `NAME VERSION`, or `VERSION` alone where there is one model.
 *
 * @throws UserError without a version, proposing the newest one, and for text that is none.
 */
export async function promotedVersion(
  registry: Registry,
  [first, second]: (string | undefined)[],
  fd: Context['fd'],
): Promise<{ name: string; version: number }> {
  const alone = second === undefined && first !== undefined && /^\d+$/.test(first)
  const given = alone ? first : second
  if (given !== undefined && !/^[1-9]\d{0,14}$/.test(given)) {
    throw new UserError(`"${given}" is no version, which is a whole number from 1. Run: ${fd('models', 'list')}`)
  }
  const named = alone ? undefined : first
  const name = await modelName(registry, named, (one) => fd('models', 'promote', one, given ?? 'VERSION'))
  if (given !== undefined) return { name, version: Number(given) }
  const newest = (await registry.getRegisteredModel(name)).latestVersion
  throw new UserError(`Say which version of "${name}". Run: ${fd('models', 'promote', name, newest ?? 'VERSION')}`)
}
