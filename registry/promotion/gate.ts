import { AVERAGE_PRECISION, ONNX_PARITY, type ModelCard } from '../model-card.ts'
import type { ModelVersion } from '../model.ts'

/** What one gate found; `detail` gives the numbers and, when refused, what to do. */
export interface Check {
  gate: string
  passed: boolean
  detail: string
}

export interface Candidate {
  version: ModelVersion
  card: ModelCard
}

/** Who holds the alias now; `card` is undefined when `fd` did not register it. */
export interface Champion {
  version: ModelVersion
  card: ModelCard | undefined
}

/** A condition for an alias to move. A UserError it throws counts as a refusal, any other error is a bug and propagates. */
export interface Gate {
  name: string
  judge(candidate: Candidate, champion: Champion | undefined): Promise<Check>
}

/** Average precision of the champion on the candidate's holdout. The registry cannot score, so the caller brings it. */
export type JudgeChampion = (champion: Champion, candidate: Candidate) => Promise<number>

/** An average precision that differs by less is the same: the order of a sum, not the model. */
const ROUNDING = 1e-12

/**
 * The candidate's average precision is at least the champion's plus `margin`, on one holdout. The recorded figures are
 * compared when both were measured on the same holdout (equal digests); else `judgeChampion` measures the champion again.
 * Passes when there is no champion.
 *
 * @param options.margin default 0.002: less is within the noise of a holdout with a few hundred frauds.
 */
export function averagePrecisionGate(options: { margin?: number; judgeChampion?: JudgeChampion } = {}): Gate {
  const { margin = 0.002, judgeChampion } = options
  const name = 'average precision'
  return {
    name,
    async judge(candidate, champion) {
      if (champion === undefined) return { gate: name, passed: true, detail: 'no champion to beat' }
      const own = candidate.card.metrics[AVERAGE_PRECISION]
      if (own === undefined)
        return {
          gate: name,
          passed: false,
          detail: `version ${candidate.version.version} recorded no ${AVERAGE_PRECISION}; register it with fd train --register`,
        }
      const other = recordedOnSameHoldout(candidate, champion) ?? (await judgeChampion?.(champion, candidate))
      if (other === undefined) return { gate: name, passed: false, detail: notComparable(candidate, champion) }
      const passed = own >= other + margin - ROUNDING
      return {
        gate: name,
        passed,
        detail: `${own.toFixed(4)} against ${other.toFixed(4)} of version ${champion.version.version}, ${margin} better is required`,
      }
    },
  }
}

function recordedOnSameHoldout(candidate: Candidate, champion: Champion): number | undefined {
  if (champion.card?.holdout.digest !== candidate.card.holdout.digest) return undefined
  return champion.card.metrics[AVERAGE_PRECISION]
}

function notComparable(candidate: Candidate, champion: Champion): string {
  const { name, version } = candidate.version
  const why =
    champion.card === undefined
      ? 'was not registered by fd'
      : `was measured on another holdout (${short(champion.card)}, not ${short(candidate.card)})`
  return `version ${champion.version.version} ${why} and its model could not be judged again; train on the champion's data: fd train --dataset ${champion.card?.dataset.name ?? 'NAME'} --register ${name}, or say why it may pass: fd models promote ${name} ${version} --force --reason TEXT`
}

function short(card: ModelCard): string {
  return `${card.dataset.name} ${card.holdout.digest.slice(0, 8)}`
}

/** ONNX Runtime gave the trainer's own scores, to `tolerance` (default 1e-6) on every row of the holdout. */
export function parityGate(tolerance = 1e-6): Gate {
  const name = 'onnx parity'
  return {
    name,
    async judge({ version, card }) {
      const difference = card.metrics[ONNX_PARITY]
      if (difference === undefined)
        return {
          gate: name,
          passed: false,
          detail: `version ${version.version} recorded no ${ONNX_PARITY}; register it with fd train --register`,
        }
      return {
        gate: name,
        passed: difference <= tolerance,
        detail: `scores differ by at most ${difference}, ${tolerance} is allowed`,
      }
    },
  }
}

/** What the candidate reads is what the service computes: the same features, in the same order, by the same definition. */
export function signatureGate(service: { name: string; digest: string; features: string[] }): Gate {
  const name = 'signature'
  return {
    name,
    async judge({ card }) {
      const mismatch = mismatchWith(service, card)
      return {
        gate: name,
        passed: mismatch === undefined,
        detail: mismatch ?? `${service.features.length} features of service ${service.name}, in order`,
      }
    },
  }
}

function mismatchWith(
  service: { name: string; digest: string; features: string[] },
  card: ModelCard,
): string | undefined {
  const advice = `; train again: fd train --dataset ${card.dataset.name} --service ${service.name}`
  if (card.service.name !== service.name)
    return `trained for service ${card.service.name}, not ${service.name}${advice}`
  const wanted = card.signature.features
  const position = wanted.findIndex((feature, index) => feature !== service.features[index])
  if (position !== -1)
    return `input ${position} is ${wanted[position]}, service ${service.name} has ${service.features[position] ?? 'nothing'} there${advice}`
  if (wanted.length < service.features.length)
    return `reads ${wanted.length} features, service ${service.name} has ${service.features.length}${advice}`
  if (card.service.digest !== service.digest)
    return `service ${service.name} has changed since training (${card.service.digest.slice(0, 8)}, now ${service.digest.slice(0, 8)})${advice}`
  return undefined
}
