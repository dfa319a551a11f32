import { otherStream } from '../../datasets/table/schema-fit.ts'
import { AVERAGE_PRECISION, ONNX_PARITY, ONNX_RELATIVE_PARITY, type ModelCard } from '../model-card.ts'
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
 * How two versions rank the same rows, none of which had a part in training either of them.
 */
export interface Comparison {
  /** Average precision of each. */
  candidate: number
  champion: number
  /** The interval that holds the difference, candidate minus champion, in 95 % of resamples of the rows. */
  low: number
  high: number
  rows: number
  frauds: number
  /** What is drawn whole in a resample, such as `transaction` or `customer`. */
  unit: string
}

/**
 * Compares two versions. The registry cannot score, so its caller does.
 *
 * @throws UserError when there are no rows to compare them on. The message says which command makes some.
 */
export type Compare = (candidate: Candidate, champion: Champion) => Promise<Comparison>

/** The loss of average precision that the gate lets pass unproven. */
export const MARGIN = 0.002

/**
 * The candidate is not worse than the champion: the interval of the difference of their average precisions excludes a
 * loss larger than `margin` (a test of non-inferiority). A lead on the holdout alone is no reason to promote, since the
 * luckiest of several equal models has one too. Passes when there is no champion.
 */
export function averagePrecisionGate({ margin = MARGIN, compare }: { margin?: number; compare: Compare }): Gate {
  const gate = 'average precision'
  return {
    name: gate,
    async judge(candidate, champion) {
      if (champion === undefined) return { gate, passed: true, detail: 'no champion to beat' }
      if (candidate.card.metrics[AVERAGE_PRECISION] === undefined) {
        return { gate, passed: false, detail: notJudged(candidate) }
      }
      const comparison = await compare(candidate, champion)
      const passed = comparison.low >= -margin
      return { gate, passed, detail: describeComparison(comparison, champion, margin) }
    },
  }
}

function describeComparison(comparison: Comparison, champion: Champion, margin: number): string {
  const { candidate, champion: other, low, high, rows, frauds, unit } = comparison
  const [least, most] = [low, high].map(signed)
  const found =
    low > 0
      ? 'better'
      : low >= -margin
        ? `no loss above ${margin}`
        : high < 0
          ? 'worse'
          : `a loss above ${margin} cannot be excluded`
  return (
    `${candidate.toFixed(4)} against ${other.toFixed(4)} of version ${champion.version.version}, ` +
    `difference ${signed(candidate - other)}, in 95 % of resamples ${least} to ${most}: ${found} ` +
    `(${rows} rows with ${frauds} frauds after both trainings, drawn by ${unit})`
  )
}

/** Four decimals and the sign. */
function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`
}

function notRecorded({ version }: Candidate, metric: string): string {
  return `version ${version.version} recorded no ${metric}; register it with fd train --register`
}

function notJudged({ version: { name, version } }: Candidate): string {
  return (
    `not comparable: version ${version} has no average precision, since its test rows have no labels of both kinds; ` +
    `say why it may pass: fd models promote ${name} ${version} --force --reason TEXT`
  )
}

function short(digest: string): string {
  return digest.slice(0, 8)
}

/**
 * ONNX Runtime gave the trainer's own scores on every row of the holdout: to `tolerance` (default 1e-6), and to
 * `relative` (default 1e-4) of the score itself. Versions from before the second was recorded are held to the first.
 */
export function parityGate(tolerance = 1e-6, relative = 1e-4): Gate {
  const gate = 'onnx parity'
  return {
    name: gate,
    async judge(candidate) {
      const difference = candidate.card.metrics[ONNX_PARITY]
      if (difference === undefined) return { gate, passed: false, detail: notRecorded(candidate, ONNX_PARITY) }
      const share = candidate.card.metrics[ONNX_RELATIVE_PARITY]
      const detail = `scores differ by at most ${rounded(difference)}, ${tolerance} is allowed`
      if (share === undefined) return { gate, passed: difference <= tolerance, detail }
      return {
        gate,
        passed: difference <= tolerance && share <= relative,
        detail: `${detail}; by at most ${rounded(share)} of themselves, ${relative} is allowed`,
      }
    },
  }
}

/** Two digits after the first say enough of a difference; it is judged unrounded. */
function rounded(difference: number): string {
  return String(Number(difference.toPrecision(3)))
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

/** The candidate reads the records that the champion reads: the same columns, types and units. */
export function streamGate(): Gate {
  const gate = 'stream'
  return {
    name: gate,
    async judge({ version, card }, champion) {
      if (champion?.card === undefined) return { gate, passed: true, detail: 'no champion whose stream it must read' }
      const what = `version ${version.version}`
      const mismatch = otherStream(what, champion.card.dataset.schema, card.dataset.schema)
      const detail = mismatch ?? `reads the records that version ${champion.version.version} reads`
      return { gate, passed: mismatch === undefined, detail }
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
