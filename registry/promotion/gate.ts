import { AVERAGE_PRECISION, ONNX_PARITY, type ModelCard } from '../model-card.ts'
import type { ModelVersion } from '../model.ts'

/** What one gate found. */
export interface Check {
  gate: string
  passed: boolean
  /** The numbers and, when refused, what to do. */
  detail: string
}

export interface Candidate {
  version: ModelVersion
  card: ModelCard
}

/** The version that holds the alias now. */
export interface Champion {
  version: ModelVersion
  /** Undefined when `fd` did not register the version. */
  card: ModelCard | undefined
}

/**
 * A condition for an alias to move. A UserError from `judge` counts as a refusal. Any other error is a bug and
 * propagates.
 */
export interface Gate {
  name: string
  judge(candidate: Candidate, champion: Champion | undefined): Promise<Check>
}

/**
 * Measures the champion's average precision on the candidate's holdout. The registry cannot score, so its caller
 * does.
 */
export type JudgeChampion = (champion: Champion, candidate: Candidate) => Promise<number>

/** A smaller difference in average precision comes from the order of a sum, not from the model. */
const ROUNDING = 1e-12

/**
 * The candidate's average precision is at least the champion's plus `margin`, on one holdout. Passes when there is no
 * champion.
 *
 * The recorded figures are compared when both were measured on the same holdout, that is when the digests are equal.
 * Otherwise `judgeChampion` measures the champion again; without it the gate refuses.
 *
 * @param options.margin default 0.002. Less is within the noise of a holdout with a few hundred frauds.
 */
export function averagePrecisionGate(options: { margin?: number; judgeChampion?: JudgeChampion } = {}): Gate {
  const { margin = 0.002, judgeChampion } = options
  const gate = 'average precision'
  return {
    name: gate,
    async judge(candidate, champion) {
      if (champion === undefined) return { gate, passed: true, detail: 'no champion to beat' }
      const own = candidate.card.metrics[AVERAGE_PRECISION]
      if (own === undefined) return { gate, passed: false, detail: notRecorded(candidate, AVERAGE_PRECISION) }
      const other = recordedOnSameHoldout(candidate, champion) ?? (await judgeChampion?.(champion, candidate))
      if (other === undefined) return { gate, passed: false, detail: notComparable(candidate, champion) }
      const figures = `${own.toFixed(4)} against ${other.toFixed(4)} of version ${champion.version.version}`
      return {
        gate,
        passed: own >= other + margin - ROUNDING,
        detail: `${figures}, ${margin} better is required`,
      }
    },
  }
}

function notRecorded({ version }: Candidate, metric: string): string {
  return `version ${version.version} recorded no ${metric}; register it with fd train --register`
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
      : `was measured on another holdout (${holdoutOf(champion.card)}, not ${holdoutOf(candidate.card)})`
  return (
    `version ${champion.version.version} ${why} and its model could not be judged again; ` +
    `train on the champion's data: fd train --dataset ${champion.card?.dataset.name ?? 'NAME'} --register ${name}, ` +
    `or say why it may pass: fd models promote ${name} ${version} --force --reason TEXT`
  )
}

function holdoutOf(card: ModelCard): string {
  return `${card.dataset.name} ${short(card.holdout.digest)}`
}

function short(digest: string): string {
  return digest.slice(0, 8)
}

/** ONNX Runtime gave the trainer's own scores, to `tolerance` (default 1e-6) on every row of the holdout. */
export function parityGate(tolerance = 1e-6): Gate {
  const gate = 'onnx parity'
  return {
    name: gate,
    async judge(candidate) {
      const difference = candidate.card.metrics[ONNX_PARITY]
      if (difference === undefined) return { gate, passed: false, detail: notRecorded(candidate, ONNX_PARITY) }
      return {
        gate,
        passed: difference <= tolerance,
        detail: `scores differ by at most ${difference}, ${tolerance} is allowed`,
      }
    },
  }
}

/** What a feature service computes, and the digest of its definition. */
interface ComputedFeatures {
  name: string
  digest: string
  features: string[]
}

/**
 * What the candidate reads is what the service computes: the same features, in the same order, by the same
 * definition.
 */
export function signatureGate(service: ComputedFeatures): Gate {
  const gate = 'signature'
  return {
    name: gate,
    async judge({ card }) {
      const mismatch = mismatchWith(service, card)
      return {
        gate,
        passed: mismatch === undefined,
        detail:
          mismatch === undefined
            ? `${service.features.length} features of service ${service.name}, in order`
            : `${mismatch}; train again: fd train --dataset ${card.dataset.name} --service ${service.name}`,
      }
    },
  }
}

/** The first difference; it explains those that follow. */
function mismatchWith({ name, digest, features }: ComputedFeatures, card: ModelCard): string | undefined {
  if (card.service.name !== name) return `trained for service ${card.service.name}, not ${name}`
  const wanted = card.signature.features
  const position = wanted.findIndex((feature, index) => feature !== features[index])
  if (position !== -1) {
    return `input ${position} is ${wanted[position]}, service ${name} has ${features[position] ?? 'nothing'} there`
  }
  if (wanted.length < features.length) {
    return `reads ${wanted.length} features, service ${name} has ${features.length}`
  }
  if (card.service.digest !== digest) {
    return `service ${name} has changed since training (${short(card.service.digest)}, now ${short(digest)})`
  }
  return undefined
}
