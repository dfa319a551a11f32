import { UserError } from '../configs/user-error.ts'
import { isBlank } from '../datasets/table/key.ts'
import type { EpochMs } from '../datasets/table/transaction.ts'
import { decodeState } from './fold/entity-state.ts'
import { ViewFold } from './fold/view-fold.ts'
import type { GroupState } from './store/online-store.ts'
import type { FeatureService } from './view/view.ts'

/** The aggregates of one entity's key at one instant. */
export interface OnlineFeatures {
  entity: string
  key: number | string
  at: EpochMs
  features: Record<string, number>
}

/**
 * Reads the features of an entity's key from the online store, as a transaction at `at` would find them, itself not
 * counted. By default `at` is the newest event time that the store has seen.
 *
 * @throws UserError when the service has no such entity, the key is blank, or the store has no such key.
 */
export async function onlineFeatures(
  state: GroupState,
  service: FeatureService,
  entity: string,
  keyText: string,
  at?: EpochMs,
): Promise<OnlineFeatures> {
  const views = service.views.filter((view) => view.kind === 'aggregate').filter((view) => view.entity === entity)
  if (views.length === 0) {
    const entities = new Set(service.views.flatMap((view) => (view.kind === 'aggregate' ? [view.entity] : [])))
    throw new UserError(`Service "${service.name}" has no entity "${entity}". It has: ${[...entities].join(', ')}`)
  }
  if (isBlank(keyText)) {
    throw new UserError(`A transaction without a ${entity} has no features of one: they are missing. Give a key.`)
  }
  const time = at ?? state.checkpoint?.watermark ?? state.base.watermark
  const minorUnits = state.checkpoint?.minorUnits ?? state.base.minorUnits
  // A whole number and its text are different keys, and the command line does not say which of the two is meant.
  const candidates: (number | string)[] = /^-?\d+$/.test(keyText) ? [Number(keyText), keyText] : [keyText]
  const features: Record<string, number> = {}
  let found: number | string | undefined
  for (const view of views) {
    const stored = await state.read(view.name, candidates)
    const which = stored.findIndex((bytes) => bytes !== undefined)
    const bytes = stored[which]
    if (bytes === undefined) continue
    found = candidates[which]
    const fold = new ViewFold(view, { scale: 10 ** minorUnits })
    decodeState(fold, fold.addKey(found), bytes)
    const values = fold.peek(found, time)
    view.features.forEach((feature, f) => (features[feature.name] = values?.[f] ?? Number.NaN))
  }
  if (found === undefined) {
    throw new UserError(
      `The online store has no ${entity} ${keyText} for service "${service.name}". ` +
        `Bring history in: fd features backfill --dataset NAME --service ${service.name} --online`,
    )
  }
  return { entity, key: found, at: time, features }
}
