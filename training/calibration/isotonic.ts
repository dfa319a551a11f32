import type { Link } from '../fit/link.ts'
import { attribute, type GraphPart } from '../graph/proto.ts'

/** Points of a broken line that rises. Both are float32; margins rise strictly. */
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
 * Isotonic regression of labels on margins by pooling adjacent violators (Ayer and others 1955), turned into a line.
 * Each block stands at the mean margin of its rows, and neighbours are joined (centred isotonic regression, Oron and
 * Flournoy 2017). A step function would instead tie thousands of rows and leave an alert budget nothing to choose from.
 *
 * Two rows are added: a fraud at the least margin, and a genuine row at the greatest. Without them a probability could
 * be 0 or 1 merely for want of a counterexample (the rule of succession).
 *
 * From the first block the line goes on down to the least margin, at half the first probability. From the last block it
 * goes on up to the greatest margin, midway between the last probability and 1. Beyond these margins it is flat.
 *
 * @returns at least one knot. When the labels do not rise with the margins there is only one block, with at most three
 *   knots.
 */
export function fitIsotonic(margins: Float32Array, y: Uint8Array): { knots: Knots; blocks: number } {
  const blocks = poolViolators(tiedRows(margins, y))
  const points: { margin: number; probability: number }[] = []
  const put = (margin: number, probability: number): void => {
    const last = points.at(-1)
    // A block of one margin stands exactly where the line would begin or end.
    if (last !== undefined && last.margin >= Math.fround(margin)) last.probability = probability
    else points.push({ margin: Math.fround(margin), probability })
  }
  const shareOf = ({ frauds, rows }: Block): number => frauds / rows
  const least = margins.reduce((a, b) => Math.min(a, b))
  const greatest = margins.reduce((a, b) => Math.max(a, b))
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

/** Rows of equal margin as blocks, by rising margin, with the two added rows. */
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
    // Products of whole numbers compare shares exactly. So equal shares are pooled, and the line never runs level.
    let before = pooled.at(-1)
    while (before !== undefined && before.frauds * block.rows >= block.frauds * before.rows) {
      add(block, before)
      pooled.pop()
      before = pooled.at(-1)
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

/**
 * The pieces of the line. Piece `n` serves the margins with `n` knots at or below them, and gives
 * `value + slope · (margin − start)`, in float32 at every step.
 */
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

/**
 * The greatest float32 slope, to within a step, whose segment ends no higher than the next knot in spite of rounding.
 * So the line never falls.
 */
function slopeBetween(margin: number, probability: number, nextMargin: number, nextProbability: number): number {
  const width = Math.fround(nextMargin - margin)
  let slope = Math.fround((nextProbability - probability) / width)
  while (Math.fround(probability + Math.fround(slope * width)) > nextProbability) {
    slope = Math.fround(slope * (1 - 2 ** -23))
  }
  return slope
}

/**
 * The line as a link. It uses only comparisons, look-ups and single float32 operations, so the graph gives the very
 * same bits.
 */
export function isotonicLink(knots: Knots): Link {
  const segments = segmentsOf(knots)
  const { start, value, slope } = segments
  return {
    scores: (margins) =>
      margins.map((margin) => {
        const at = knotsUpTo(knots.margins, margin)
        return value[at] + Math.fround(slope[at] * Math.fround(margin - start[at]))
      }),
    graph: (margin, output) => lineGraph(knots, segments, margin, output),
  }
}

const PARTS = ['start', 'value', 'slope'] as const

/** Counts the knots that a margin has reached, looks up the segment of that number, and follows it. */
function lineGraph(knots: Knots, segments: Segments, margin: string, output: string): GraphPart {
  const toInt64 = attribute.int('to', 7)
  return {
    constants: [
      { name: 'knots', type: 'float', values: knots.margins },
      ...PARTS.map((name) => ({ name, type: 'float' as const, values: segments[name] })),
      { name: 'columns', type: 'int64', values: [1] },
    ],
    nodes: [
      { opType: 'GreaterOrEqual', input: [margin, 'knots'], output: ['reached'] },
      { opType: 'Cast', input: ['reached'], output: ['reached_number'], attribute: [toInt64] },
      {
        opType: 'ReduceSum',
        input: ['reached_number', 'columns'],
        output: ['segment'],
        attribute: [attribute.int('keepdims', 1)],
      },
      ...PARTS.map((name) => ({
        opType: 'Gather',
        input: [name, 'segment'],
        output: [`own_${name}`],
        attribute: [attribute.int('axis', 0)],
      })),
      { opType: 'Sub', input: [margin, 'own_start'], output: ['distance'] },
      { opType: 'Mul', input: ['own_slope', 'distance'], output: ['rise'] },
      { opType: 'Add', input: ['own_value', 'rise'], output: [output] },
    ],
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
