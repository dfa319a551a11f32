import type { Scope } from './scope.ts'
import { numbers, type NumberTerm } from './term.ts'

/** A column of a feature matrix. */
export interface ScopeFeature {
  name: string
  /** Its numbers are codes, with which there is nothing to compute. */
  isCategory: boolean
}

/**
 * The features that stand before one in a service, by name, as numbers; conditions are 1 and 0. What is read are the
 * rows of `values`, which has a column for each feature of the service.
 */
export class FeatureScope implements Scope {
  readonly quote = 'feature'
  readonly names: readonly string[]
  values: Float64Array = new Float64Array(0)
  readonly #features: readonly ScopeFeature[]
  readonly #before: number

  /** @param before the column of the feature that is computed: it takes those of lower columns. */
  constructor(features: readonly ScopeFeature[], before: number) {
    this.#features = features
    this.#before = before
    this.names = features.slice(0, before).flatMap(({ name, isCategory }) => (isCategory ? [] : [name]))
  }

  find(name: string): NumberTerm | string | undefined {
    const column = this.#features.findIndex((feature) => feature.name === name)
    if (column < 0) return undefined
    if (column >= this.#before) return `${name} does not stand before this feature, and only those are known here`
    if (this.#features[column].isCategory) return `${name} is a category, and derived features take numbers`
    const width = this.#features.length
    return numbers('number', (out, count, from) => {
      for (let i = 0; i < count; i++) out[i] = this.values[(from + i) * width + column]
    })
  }
}
