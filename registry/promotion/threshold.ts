import { UserError } from '../../configs/user-error.ts'
import type { ModelCard } from '../model-card.ts'
import type { RegisteredModel } from '../model.ts'
import type { Registry } from '../registry.ts'
import { appendEvent, historyOf } from './history.ts'
import { untilWritten, type Asked } from './promotion.ts'

/** What decides between alert and approval, and since which entry of the model's history. */
export interface Threshold {
  /** A score at or above it is an alert. */
  value: number
  /** The budget that it was chosen by; absent where it was given as a number. */
  alertsPerDay?: number
  /** Sequence of the history entry that set it; absent: it is that of the card, from training. */
  entry?: number
}

/** All thresholds that a version ever had, the present one first, that of its card last. */
export function thresholdsOf(
  model: RegisteredModel,
  version: number,
  card: ModelCard,
): [present: Threshold, ...earlier: Threshold[]] {
  const thresholds: [Threshold, ...Threshold[]] = [
    chosen({ threshold: card.threshold, alertsPerDay: card.alertsPerDay }),
  ]
  for (const entry of historyOf(model).entries) {
    if (entry.event !== 'threshold' || entry.version !== version) continue
    thresholds.unshift({ ...chosen(entry), entry: entry.sequence })
  }
  return thresholds
}

function chosen({ threshold, alertsPerDay }: { threshold: number; alertsPerDay?: number | undefined }): Threshold {
  return { value: threshold, ...(alertsPerDay === undefined ? {} : { alertsPerDay }) }
}

/** The threshold by which a version decides now. */
export function presentThreshold(model: RegisteredModel, version: number, card: ModelCard): Threshold {
  return thresholdsOf(model, version, card)[0]
}

export interface ThresholdRequest extends Asked {
  name: string
  version: number
  card: ModelCard
  /** Finite. */
  threshold: number
  alertsPerDay?: number
}

/**
 * Sets the threshold of a version, as an entry of the model's history that names the old one. The version itself stays
 * as it was registered. A scorer takes it up between two batches.
 *
 * @returns the one before.
 * @throws UserError for an unknown model or a threshold that is not finite.
 */
export async function setThreshold(registry: Registry, request: ThresholdRequest): Promise<Threshold> {
  const { name, version, card, threshold, alertsPerDay, by, reason, now } = request
  if (!Number.isFinite(threshold)) throw new UserError(`A threshold is a number, not ${threshold}.`)
  return untilWritten(name, async () => {
    const model = await registry.getRegisteredModel(name)
    const before = presentThreshold(model, version, card)
    const event = {
      event: 'threshold',
      version,
      threshold,
      alertsPerDay,
      from: before.value,
      at: now,
      by,
      reason,
    } as const
    return (await appendEvent(registry, model, event)) ? before : undefined
  })
}
