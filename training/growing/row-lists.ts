import type { Crew } from '../kernel/crew.ts'

/** Which rows go left: those with `bin <= cut`, and missing ones when `missingLeft`. */
export interface RowSplit {
  cut: number
  missingLeft: boolean
}

/**
 * Two lists of row numbers, in the arena, that the nodes of a tree share. The rows of a node stand in one of them.
 * For its children they are parted into the same places of the other, so that nothing is copied back.
 */
export type RowLists = [Int32Array, Int32Array]

/** The list that is not `rows`; either one when `rows` is undefined. */
export function otherList(lists: RowLists, rows: Int32Array | undefined): Int32Array {
  return rows?.byteOffset === lists[0].byteOffset ? lists[1] : lists[0]
}

/** A split as the kernel's arguments (see `Kernel`). */
export function sideArguments(
  column: Uint8Array,
  { cut, missingLeft }: RowSplit,
): [column: number, cut: number, turn: number] {
  const turn = missingLeft ? 1 : 0
  return [column.byteOffset, cut + turn, turn]
}

/**
 * Writes `rows[start … end)` into the same places of `into`, those that go left by `column` first, in no order beyond
 * that. Where `rows` is undefined, the rows are `start … end` themselves. Returns where those that go right begin.
 * All arrays lie in the arena.
 */
export function partRows(
  crew: Crew,
  column: Uint8Array,
  split: RowSplit,
  rows: Int32Array | undefined,
  into: Int32Array,
  start: number,
  end: number,
): number {
  const args = [rows?.byteOffset ?? 0, into.byteOffset, ...sideArguments(column, split)]
  const parts = crew.run('divide', () => args, start, end, { perThread: 1 })
  let middle = parts[0].start + parts[0].result
  for (const part of parts.slice(1)) {
    // Behind the rows that go left so far stand some that go right, then those of this part that go left. The smaller
    // group changes places with as many rows of the other.
    const last = part.start + part.result
    const fewer = Math.min(part.start - middle, part.result)
    const moved = into.slice(middle, middle + fewer)
    into.copyWithin(middle, last - fewer, last)
    into.set(moved, last - fewer)
    middle += part.result
  }
  return middle
}
