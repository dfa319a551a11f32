/** How many rows are computed at once: the columns of an expression's terms stay in the processor's cache. */
export const BLOCK = 128

/** What an expression's parts give, in the words of messages. */
export type ValueType = 'number' | 'condition' | 'text'

/**
 * A part of an expression that is computed by column. `fill` computes the rows `from` to `from + count` (at most
 * `BLOCK`) into the first `count` of `values`, which the next call overwrites.
 *
 * Numbers: NaN is missing. Conditions: 1 true, 0 false, NaN missing.
 */
export interface NumberTerm {
  type: 'number' | 'condition'
  values: Float64Array
  fill: (from: number, count: number) => void
}

/** The same of texts. '' is missing. */
export interface TextTerm {
  type: 'text'
  values: string[]
  fill: (from: number, count: number) => void
}

export type Term = NumberTerm | TextTerm

/** A term of numbers or conditions. `compute` fills its argument. */
export function numbers(
  type: NumberTerm['type'],
  compute: (out: Float64Array, count: number, from: number) => void,
): NumberTerm {
  const values = new Float64Array(BLOCK)
  return { type, values, fill: (from, count) => compute(values, count, from) }
}

/** A term of texts. `compute` fills its argument. */
export function texts(compute: (out: string[], count: number, from: number) => void): TextTerm {
  const values = new Array<string>(BLOCK).fill('')
  return { type: 'text', values, fill: (from, count) => compute(values, count, from) }
}

/** The same value in every row. */
export function constant(value: number | boolean | string): Term {
  const fill = (): void => {}
  if (typeof value === 'string') return { type: 'text', values: new Array<string>(BLOCK).fill(value), fill }
  const type = typeof value === 'boolean' ? 'condition' : 'number'
  return { type, values: new Float64Array(BLOCK).fill(Number(value)), fill }
}

/** Infinity is no feature: what has no finite value is missing. */
export function finite(value: number): number {
  return value - value === 0 ? value : Number.NaN
}
