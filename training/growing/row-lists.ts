import type { Crew } from '../kernel/crew.ts'

/** Which rows go left: those with `bin <= cut`, and the missing where `missingLeft` says. */
export interface RowSplit {
  cut: number
  missingLeft: boolean
}

/**
 * Two lists of row numbers, in the arena, that the nodes of a tree share: rows that a node has in one are parted into the same
 * places of the other for its children, so that nothing is copied back.
 */
export type RowLists = [Int32Array, Int32Array]

/** The list that does not hold `rows`; either when `rows` is undefined. */
export function otherList(lists: RowLists, rows: Int32Array | undefined): Int32Array {
  return rows?.byteOffset === lists[0].byteOffset ? lists[1] : lists[0]
}

/** What the kernel reads of a split. */
export function sideArguments(
  column: Uint8Array,
  { cut, missingLeft }: RowSplit,
): [column: number, cut: number, turn: number] {
  const turn = missingLeft ? 1 : 0
  return [column.byteOffset, cut + turn, turn]
}

/**
 * Writes `rows[start … end)` (undefined: rows `start … end` themselves) into the same places of `into`, parted by a column: those
 * that go left first, in no order beyond that. Returns where the others begin. All arrays lie in the arena.
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
  const parts = crew.run(
    'divide',
    () => [rows?.byteOffset ?? 0, into.byteOffset, ...sideArguments(column, split)],
    start,
    end,
    { perThread: 1 },
  )
  let middle = parts[0].start + parts[0].result
  for (const part of parts.slice(1)) {
    // Behind those that go left stand some that do not, then left ones of this part: the fewer of them change places.
    const last = part.start + part.result
    const fewer = Math.min(part.start - middle, part.result)
    const moved = into.slice(middle, middle + fewer)
    into.copyWithin(middle, last - fewer, last)
    into.set(moved, last - fewer)
    middle += part.result
  }
  return middle
}
