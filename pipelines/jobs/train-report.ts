import type { FeatureImportance } from '../../training/importance.ts'
import { table } from '../console/output.ts'

/** The version that a model was registered as. */
export interface Registration {
  /** `--register`. */
  name: string | undefined
  /** Undefined when the model was not registered. */
  version: number | undefined
}

/** Entries for `pairs`: the registered version, if there is one. */
export function registeredEntries({ name, version }: Registration): [string, string][] {
  return version === undefined ? [] : [['registered', `${name} version ${version}`]]
}

/** A table of the features, the most needed first. */
export function importanceTable(importance: FeatureImportance[]): string {
  const heading = [
    'feature',
    'fall of average precision',
    'deviation',
    ...(importance.some(({ gain }) => gain !== undefined) ? ['share of gain'] : []),
  ]
  return table(
    heading,
    importance.map(({ feature, mean, deviation, gain }) => [
      feature,
      ...[mean, deviation, ...(gain === undefined ? [] : [gain])].map(fourDecimals),
    ]),
  )
}

/** Four decimals, without a negative zero. */
function fourDecimals(value: number): string {
  return (Math.round(value * 1e4) / 1e4 + 0).toFixed(4).padStart(7)
}
