/** Characters that take two cells of a terminal: East Asian wide and full-width ones, and emoji. */
const WIDE = new RegExp(
  String.raw`^(?:\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}` +
    String.raw`|[\u3000-\u303e\uff01-\uff60\uffe0-\uffe6])|\ufe0f`,
  'u',
)
/** Marks and format characters alone take no cell. */
const ZERO = /^(?:\p{M}|\p{Cf})+$/u
const ASCII = /^[\x20-\x7e]*$/
const graphemes = new Intl.Segmenter()

/** Cells that a line takes on a terminal. */
export function cellWidth(line: string): number {
  if (ASCII.test(line)) return line.length
  let cells = 0
  for (const { segment } of graphemes.segment(line)) cells += graphemeWidth(segment)
  return cells
}

function graphemeWidth(grapheme: string): number {
  if (ZERO.test(grapheme)) return 0
  return WIDE.test(grapheme) ? 2 : 1
}

/** Spaces up to `width` cells, after the text or before it. */
export function padCells(text: string, width: number, side: 'left' | 'right'): string {
  const space = ' '.repeat(Math.max(0, width - cellWidth(text)))
  return side === 'left' ? space + text : text + space
}

/**
 * The text with its control characters written out (`\u001b`), so that data on a terminal cannot move the cursor or
 * change colours. Line feeds stay.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this replaces
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) =>
    character === '\t' ? ' ' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The text in at most `width` cells; what is cut off leaves an ellipsis. */
export function cutCells(text: string, width: number): string {
  if (cellWidth(text) <= width) return text
  return `${takeCells(text, Math.max(0, width - 1))}…`
}

/** The longest beginning of the text that takes at most `width` cells. */
function takeCells(text: string, width: number): string {
  if (ASCII.test(text)) return text.slice(0, width)
  let [taken, cells] = ['', 0]
  for (const { segment } of graphemes.segment(text)) {
    cells += graphemeWidth(segment)
    if (cells > width) break
    taken += segment
  }
  return taken
}

/**
 * Lines of at most `width` cells (at least 2, which a wide character takes). They break at spaces; a word that is
 * longer than a line breaks within.
 */
export function wrapCells(text: string, width: number): string[] {
  return text.split('\n').flatMap((line) => wrapLine(line, Math.max(2, width)))
}

function wrapLine(line: string, width: number): string[] {
  if (cellWidth(line) <= width) return [line]
  const lines: string[] = []
  let current = ''
  for (const word of line.split(' ')) {
    const longer = current === '' ? word : `${current} ${word}`
    if (cellWidth(longer) <= width) {
      current = longer
      continue
    }
    if (current !== '') lines.push(current)
    current = word
    while (cellWidth(current) > width) {
      const taken = takeCells(current, width)
      lines.push(taken)
      current = current.slice(taken.length)
    }
  }
  return [...lines, current]
}

/** Cells of the longest word: no line of the wrapped text need be longer. */
export function longestWord(text: string): number {
  return Math.max(...text.split(/[ \n]/).map(cellWidth))
}
