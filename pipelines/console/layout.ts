import { cellWidth, longestWord, padCells, printable, wrapCells } from './text-width.ts'

/** Cells between two columns. */
const GAP = 2
/** A word up to this long is never broken in a table: the id of a run, a date with its time. */
const WHOLE_WORD = 40
/** A value beside its name needs this much room; with less it stands below. */
const LEAST_VALUE = 16

/** Columns under a heading. `right` says which are aligned to the right; those are numbers, and are never wrapped. */
export interface Columns {
  heading: string[]
  rows: string[][]
  right: boolean[]
}

/**
 * A table of at most `width` cells, Infinity where the width is not known. Columns that are too wide together wrap, the
 * widest first. Where not even their words fit beside each other, each row becomes a block of names and values.
 */
export function layoutTable({ heading, rows, right }: Columns, width: number): string {
  const cells = [heading, ...rows].map((row) => heading.map((_, c) => printable(row[c] ?? '')))
  const natural = heading.map((_, c) => Math.max(...cells.map((row) => widestLine(row[c]))))
  const least = heading.map((_, c) =>
    right[c] ? natural[c] : Math.max(...cells.map((row) => Math.min(longestWord(row[c]), WHOLE_WORD))),
  )
  const room = width - GAP * (heading.length - 1)
  if (sum(least) > room) return layoutRecords(cells, width)
  const widths = shrink(natural, least, room)
  const lines = cells.map((row) => tableRow(row, widths, right))
  return [lines[0], widths.map((each) => '─'.repeat(each)).join('  '), ...lines.slice(1)].join('\n')
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function widestLine(text: string): number {
  return Math.max(...text.split('\n').map(cellWidth))
}

/** Takes cells from the widest column, one at a time, until all fit into `room`; none gets narrower than its least. */
function shrink(natural: readonly number[], least: readonly number[], room: number): number[] {
  const widths = [...natural]
  for (let excess = sum(widths) - room; excess > 0; excess--) {
    let widest = -1
    for (let c = 0; c < widths.length; c++) {
      if (widths[c] > least[c] && (widest === -1 || widths[c] > widths[widest])) widest = c
    }
    if (widest === -1) break
    widths[widest]--
  }
  return widths
}

function tableRow(row: readonly string[], widths: readonly number[], right: readonly boolean[]): string {
  const wrapped = row.map((cell, c) => (widestLine(cell) <= widths[c] ? cell.split('\n') : wrapCells(cell, widths[c])))
  const height = Math.max(...wrapped.map(({ length }) => length))
  return Array.from({ length: height }, (_, line) =>
    wrapped
      .map((lines, c) => padCells(lines[line] ?? '', widths[c], right[c] ? 'left' : 'right'))
      .join(' '.repeat(GAP))
      .trimEnd(),
  ).join('\n')
}

/** Each row below the first as names and values, blank ones left out, with an empty line between two rows. */
function layoutRecords([heading, ...rows]: string[][], width: number): string {
  return rows
    .map((row) => heading.map((name, c): [string, string] => [name, row[c]]).filter(([, value]) => value !== ''))
    .map((entries) => layoutPairs(entries, width))
    .join('\n\n')
}

/** Names, and beside them values, in at most `width` cells; in a narrow terminal the values stand below their names. */
export function layoutPairs(entries: readonly [string, string][], width: number): string {
  const named = Math.max(0, ...entries.map(([name]) => cellWidth(printable(name))))
  const beside = width - named - GAP
  return entries
    .flatMap(([name, value]) => {
      if (beside >= LEAST_VALUE) {
        const [first, ...rest] = lines(printable(value), beside)
        const indent = ' '.repeat(named + GAP)
        return [
          `${padCells(printable(name), named, 'right')}${' '.repeat(GAP)}${first}`,
          ...rest.map((line) => indent + line),
        ]
      }
      const below = lines(printable(value), width - GAP).map((line) => ' '.repeat(GAP) + line)
      return [...lines(printable(name), width), ...below]
    })
    .map((line) => line.trimEnd())
    .join('\n')
}

function lines(text: string, width: number): string[] {
  return width === Infinity ? text.split('\n') : wrapCells(text, width)
}
