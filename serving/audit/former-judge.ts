import { errorMessage, UserError } from '../../configs/user-error.ts'
import { toModelInput } from '../../features/fold/model-input.ts'
import { categoryColumns, featureNames } from '../../features/view/view.ts'
import { readModelCard } from '../../registry/model-card.ts'
import { thresholdsOf } from '../../registry/promotion/threshold.ts'
import type { Registry } from '../../registry/registry.ts'
import { loadVersion, type Champion } from '../model/champion.ts'
import type { Prediction } from '../prediction.ts'

/** A version that once decided, as the registry has it. */
export interface FormerJudge {
  /** The threshold that an entry of the history set, undefined: that of the card. Undefined where there is none. */
  threshold(entry: number | undefined): number | undefined
  /** The scores of rows of features as predictions hold them, or why there are none. */
  scores: ((rows: Prediction['features'][]) => Promise<Float32Array>) | string
}

export interface FormerJudges extends AsyncDisposable {
  /** The version, or why its decisions cannot be made again. */
  of(model: Prediction['model'] | undefined): Promise<FormerJudge | string>
}

/** @param graphs whether the graphs are loaded, too. */
export function openJudges(registry: Registry, graphs: boolean): FormerJudges {
  const known = new Map<string, Promise<FormerJudge | string>>()
  const loaded: Champion[] = []
  const open = async ({ name, version }: Prediction['model']): Promise<FormerJudge | string> => {
    const thresholds = await thresholdsByEntry(registry, name, version)
    if (typeof thresholds === 'string') return thresholds
    const champion = graphs ? await orReason(loadVersion(registry, name, version)) : 'Scores were not asked for.'
    if (typeof champion !== 'string') loaded.push(champion)
    return {
      threshold: (entry) => thresholds.get(entry),
      scores: typeof champion === 'string' ? champion : (rows) => scoresOf(champion, rows),
    }
  }
  return {
    of: async (model) => {
      if (model === undefined) return 'An older scorer made them, which did not name its model.'
      const key = JSON.stringify([model.name, model.version])
      const judge = known.get(key) ?? open(model)
      known.set(key, judge)
      return judge
    },
    async [Symbol.asyncDispose]() {
      for (const champion of loaded) await champion[Symbol.asyncDispose]()
    },
  }
}

/** Entry of the history → threshold; undefined → that of the card. Or why there are none. */
async function thresholdsByEntry(
  registry: Registry,
  name: string,
  version: number,
): Promise<Map<number | undefined, number> | string> {
  const found = await orReason(
    Promise.all([registry.getRegisteredModel(name), registry.getModelVersion(name, version)]),
  )
  if (typeof found === 'string') return found
  const [model, registered] = found
  return new Map(thresholdsOf(model, version, readModelCard(registered)).map(({ entry, value }) => [entry, value]))
}

/** What a user can act on is a reason to leave predictions out. */
async function orReason<T>(work: Promise<T>): Promise<T | string> {
  return work.catch((error: unknown) => {
    if (error instanceof UserError) return errorMessage(error)
    throw error
  })
}

/** Scores rows of features as they stand in predictions, where a missing value is null. */
function scoresOf(
  { card, service, model }: Pick<Champion, 'card' | 'service' | 'model'>,
  rows: Prediction['features'][],
): Promise<Float32Array> {
  const names = featureNames(service)
  const categorical = categoryColumns(service, card.dataset.schema).map(({ feature }) => names[feature])
  const computed = Float64Array.from(rows.flatMap((features) => names.map((name) => numberOf(features[name]))))
  const numbers = new Float32Array(computed.length)
  toModelInput(computed, computed.length, numbers)
  const categories = rows.flatMap((features) => categorical.map((name) => String(features[name] ?? '')))
  return model.score({ rows: rows.length, numbers, categories })
}

/** A category has no number. */
function numberOf(value: number | string | null): number {
  return typeof value === 'number' ? value : Number.NaN
}
