import type { Link } from '../fit/link.ts'
import { attribute } from '../graph/proto.ts'

/** Points of a rising broken line, float32, margins strictly rising. */
export interface Knots {
  margins: Float32Array
  probabilities: Float32Array
}

/** Rows that share one probability, while neighbours are pooled. */
interface Block {
  rows: number
  frauds: number
  /** Sum of the rows' margins. */
  margins: number
}

/**
 * Isotonic regression of labels on margins by pooling adjacent violators (Ayer and others 1955), made into a line: each block
 * stands at the mean margin of its rows, and neighbours are joined (centred isotonic regression, Oron and Flournoy 2017).
 * A step function would make thousands of rows tie and leave an alert budget nothing to choose from.
 *
 * One row that is a fraud at the least margin, and a genuine one at the greatest, are added, so that no probability is 0 or 1
 * for want of a counterexample (the rule of succession). From the outer blocks the line goes on to the least and greatest
 * margin, to half the first probability and to the middle of the last and 1; beyond, it is flat.
 *
 * @returns at least one knot; one block only (two or three knots at most) when the labels do not rise with the margins.
 */
export function fitIsotonic(margins: Float32Array, y: Uint8Array): { knots: Knots; blocks: number } {
  const blocks = poolViolators(tiedRows(margins, y))
  const points: { margin: number; probability: number }[] = []
  const put = (margin: number, probability: number): void => {
    const last = points.at(-1)
    // A block of one margin stands where the line would begin or end.
    if (last !== undefined && last.margin >= Math.fround(margin)) last.probability = probability
    else points.push({ margin: Math.fround(margin), probability })
  }
  const shareOf = ({ frauds, rows }: Block): number => frauds / rows
  const [least, greatest] = [margins.reduce((a, b) => Math.min(a, b)), margins.reduce((a, b) => Math.max(a, b))]
  put(least, shareOf(blocks[0]) / 2)
  for (const block of blocks) put(block.margins / block.rows, shareOf(block))
  if (greatest > points[points.length - 1].margin) put(greatest, (1 + shareOf(blocks[blocks.length - 1])) / 2)
  return {
    knots: {
      margins: Float32Array.from(points, (point) => point.margin),
      probabilities: Float32Array.from(points, (point) => point.probability),
    },
    blocks: blocks.length,
  }
}

/** Rows of equal margin as blocks, rising, with the two rows added. */
function tiedRows(margins: Float32Array, y: Uint8Array): Block[] {
  const order = Uint32Array.from(margins.keys()).sort((a, b) => margins[a] - margins[b])
  const blocks: Block[] = []
  for (const [place, row] of order.entries()) {
    const margin = margins[row]
    if (place === 0) blocks.push({ rows: 1, frauds: 1, margins: margin })
    else if (margin !== margins[order[place - 1]]) blocks.push({ rows: 0, frauds: 0, margins: 0 })
    add(blocks[blocks.length - 1], { rows: 1, frauds: y[row], margins: margin })
  }
  add(blocks[blocks.length - 1], { rows: 1, frauds: 0, margins: margins[order[order.length - 1]] })
  return blocks
}

/** Pools neighbours until the shares of frauds rise strictly. */
function poolViolators(ties: Block[]): Block[] {
  const pooled: Block[] = []
  for (const tie of ties) {
    const block = { ...tie }
    // Shares compared as products of whole numbers: exact, so that equal ones are pooled and the line never runs level.
    for (
      let before = pooled.at(-1);
      before !== undefined && before.frauds * block.rows >= block.frauds * before.rows;
      before = pooled.at(-1)
    ) {
      add(block, before)
      pooled.pop()
    }
    pooled.push(block)
  }
  return pooled
}

function add(block: Block, other: Block): void {
  block.rows += other.rows
  block.frauds += other.frauds
  block.margins += other.margins
}

/** By the number of knots at or below a margin: `value + slope · (margin − start)`, float32 at every step. */
interface Segments {
  start: Float32Array
  value: Float32Array
  slope: Float32Array
}

function segmentsOf({ margins, probabilities }: Knots): Segments {
  const count = margins.length
  const slope = new Float32Array(count + 1)
  for (let knot = 0; knot + 1 < count; knot++) {
    slope[knot + 1] = slopeBetween(margins[knot], probabilities[knot], margins[knot + 1], probabilities[knot + 1])
  }
  return {
    start: Float32Array.of(margins[0], ...margins),
    value: Float32Array.of(probabilities[0], ...probabilities),
    slope,
  }
}

/** The greatest float32 slope, to within a step, at which rounding does not carry the segment over the next knot: the line never falls. */
function slopeBetween(margin: number, probability: number, nextMargin: number, nextProbability: number): number {
  const width = Math.fround(nextMargin - margin)
  let slope = Math.fround((nextProbability - probability) / width)
  while (Math.fround(probability + Math.fround(slope * width)) > nextProbability)
    slope = Math.fround(slope * (1 - 2 ** -23))
  return slope
}

/** The line as a link. Comparisons, look-ups and single float32 operations only, so that the graph gives the very bits. */
export function isotonicLink(knots: Knots): Link {
  const segments = segmentsOf(knots)
  const { start, value, slope } = segments
  return {
    scores: (margins) =>
      margins.map((margin) => {
        const at = knotsUpTo(knots.margins, margin)
        return value[at] + Math.fround(slope[at] * Math.fround(margin - start[at]))
      }),
    graph: (margin, output) => ({
      constants: [
        { name: 'knots', type: 'float', values: knots.margins },
        ...(['start', 'value', 'slope'] as const).map((name) => ({
          name,
          type: 'float' as const,
          values: segments[name],
        })),
        { name: 'columns', type: 'int64', values: [1] },
      ],
      nodes: [
        { opType: 'GreaterOrEqual', input: [margin, 'knots'], output: ['reached'] },
        { opType: 'Cast', input: ['reached'], output: ['reached_number'], attribute: [attribute.int('to', 7)] },
        {
          opType: 'ReduceSum',
          input: ['reached_number', 'columns'],
          output: ['segment'],
          attribute: [attribute.int('keepdims', 1)],
        },
        ...(['start', 'value', 'slope'] as const).map((name) => ({
          opType: 'Gather',
          input: [name, 'segment'],
          output: [`own_${name}`],
          attribute: [attribute.int('axis', 0)],
        })),
        { opType: 'Sub', input: [margin, 'own_start'], output: ['distance'] },
        { opType: 'Mul', input: ['own_slope', 'distance'], output: ['rise'] },
        { opType: 'Add', input: ['own_value', 'rise'], output: [output] },
      ],
    }),
  }
}

/** How many knots are at or below `margin`. */
function knotsUpTo(knots: Float32Array, margin: number): number {
  let [low, high] = [0, knots.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (knots[middle] <= margin) low = middle + 1
    else high = middle
  }
  return low
}
