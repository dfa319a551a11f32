import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Coverage, ParityBase } from '../../features/parity/parity.ts'
import type { Origin } from '../../features/parity/served.ts'
import type { Base, OnlineStore } from '../../features/store/online-store.ts'
import { serviceDigest, type FeatureService } from '../../features/view/view.ts'
import type { ModelCard } from '../../registry/model-card.ts'
import type { Registry } from '../../registry/registry.ts'

/** What tells how predictions were made. */
export interface CoverageParts {
  store: OnlineStore
  registry: Registry
  config: Config
}

/** @throws UserError when this code computes another service than the one that the model was trained on. */
export function checkTrained(card: ModelCard, service: FeatureService): void {
  if (card.service.digest === serviceDigest(service)) return
  throw new UserError(
    `Definition changed: the model was trained on another definition of service "${service.name}" than this fd ` +
      'computes, so what was served cannot be recomputed. Verify with the fd that served it, or train again: fd train',
  )
}

/**
 * Says on which base each origin's predictions are compared, or why they cannot be. Predictions of older scorers name
 * no base: they are taken for made on the oldest that others name, else on the newest.
 *
 * @throws UserError with the first reason, when nothing can be compared.
 */
export async function coverOrigins(
  parts: CoverageParts,
  service: FeatureService,
  origins: readonly Origin[],
): Promise<Coverage> {
  const bases = await parts.store.bases(service.name)
  const named = origins.flatMap(({ base }) => base ?? [])
  const unnamed = named.length > 0 ? Math.min(...named) : (bases.at(-1)?.version ?? 0)
  const known = new Map<number, Promise<ParityBase | string>>()
  const coverage = new Map<Origin, ParityBase | string>()
  for (const origin of origins) {
    const version = origin.base ?? unnamed
    const base = known.get(version) ?? openBase(parts, service, version, bases)
    known.set(version, base)
    coverage.set(origin, (await otherDefinition(parts, service, origin)) ?? (await base))
  }
  const reasons = [...coverage.values()]
  if (reasons.length > 0 && reasons.every((reason) => typeof reason === 'string')) throw new UserError(reasons[0])
  return coverage
}

/** Why a model's predictions are of another definition than the one that is recomputed, undefined when they are not. */
async function otherDefinition(
  { registry }: CoverageParts,
  service: FeatureService,
  { model }: Origin,
): Promise<string | undefined> {
  if (model === undefined) return undefined
  const digest = await registry.getModelVersion(model.name, model.version).then(
    ({ tags }) => tags['fd.service.digest'],
    (error: unknown) => {
      // A version that was removed says nothing any more.
      if (error instanceof UserError) return undefined
      throw error
    },
  )
  if (digest === undefined || digest === serviceDigest(service)) return undefined
  return (
    `Definition changed: version ${model.version} of "${model.name}" was trained on another definition of service ` +
    `"${service.name}" than this fd computes.`
  )
}

/** A base with the history it was made of, or why it cannot be made again. */
async function openBase(
  { config }: CoverageParts,
  service: FeatureService,
  version: number,
  bases: readonly Base[],
): Promise<ParityBase | string> {
  if (version === 0) return { version }
  const base = bases.find((published) => published.version === version)
  if (base === undefined) return `Base ${version} was published by an older fd, which kept no record of its history.`
  if (base.serviceDigest !== serviceDigest(service)) {
    return (
      `Definition changed: base ${version} was backfilled with another definition of service "${service.name}" than ` +
      'this fd computes.'
    )
  }
  const { history } = base
  if (history === undefined) return { version }
  const { openDataset } = await import('../../datasets/catalog.ts')
  const dataset = await openDataset(history.dataset, config, { data: history.file })
  if ((await dataset.digest()) !== history.fileDigest) {
    return (
      `${history.file} has changed since it was backfilled, so what was served cannot be recomputed from it. ` +
      'Put the old file back, or backfill and score again.'
    )
  }
  const { until, sort, fileDigest } = history
  return {
    version,
    history: {
      dataset,
      fileDigest,
      ...(until === undefined ? {} : { until }),
      ...(sort === undefined ? {} : { sort }),
    },
  }
}
