import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { wasAnswered } from './error-document.ts'
import { lastLine, openOutput, pairs, table, terminalWidth } from './output.ts'
import { cellWidth, cutCells } from './text-width.ts'

/** A stream that keeps what was written, as a terminal or not. */
function screen(isTTY: boolean): Writable & { isTTY: boolean; shown: string } {
  const stream = Object.assign(
    new Writable({ write: (chunk, _encoding, done) => ((stream.shown += String(chunk)), done()) }),
    { isTTY, shown: '' },
  )
  return stream
}

/** What a terminal shows in the end. A line that is cleared is overwritten. */
const seen = (text: string): string[] =>
  text.split('\n').map((line) => line.slice(line.lastIndexOf('\x1b[K') + 1).replace('[K', ''))

/** A line of a log: the time, ISO 8601 in UTC, and what there is to say. */
const TIMED = (line: string): RegExp => new RegExp(`^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z {2}${line}$`)

/** Updates a bar until it is drawn. */
async function drawBar(
  stderr: Writable & { isTTY: boolean; shown: string },
): Promise<ReturnType<ReturnType<typeof openOutput>['progress']>> {
  const bar = openOutput(false, stderr, stderr).progress('fit', 10)
  while (stderr.shown === '') {
    await new Promise((resolve) => setTimeout(resolve, 20))
    bar.update(5)
  }
  return bar
}

test('on a terminal a note takes the place of a bar, which goes on below; an error stands below the bar', async () => {
  const stderr = screen(true)
  const bar = await drawBar(stderr)
  openOutput(false, stderr, stderr).note('a note')
  const note = expect.stringMatching(TIMED('a note'))
  expect(seen(stderr.shown)).toEqual([note, ''])
  bar.end()
  expect(seen(stderr.shown)).toEqual([note, expect.stringMatching(/^fit: done in/), ''])
  lastLine('an error', stderr)
  expect(seen(stderr.shown).slice(2)).toEqual([expect.stringMatching(TIMED('an error')), ''])
  const cut = screen(true)
  await drawBar(cut)
  lastLine('an error', cut)
  expect(seen(cut.shown)).toEqual([expect.stringMatching(/^fit █+░+ 50 % 5 of 10/), 'an error', ''])
})

test('elsewhere every line stands by itself', async () => {
  const stderr = screen(false)
  await drawBar(stderr)
  lastLine('an error', stderr)
  expect(stderr.shown).toMatch(/^fit █+░+ 50 % 5 of 10.*\nan error\n$/)
})

test('a table is aligned, numbers to the right', () => {
  expect(
    table(
      ['name', 'n'],
      [
        ['a', 1],
        ['bcdef', 1234],
      ],
    ),
  ).toBe('name       n\n─────  ─────\na          1\nbcdef  1,234')
})

test('a refusal is one document: the result and, in it, the error', () => {
  const stdout = screen(false)
  const error = new UserError('Not promoted. To overrule: fd models promote m 3 --force --reason TEXT', { exitCode: 1 })
  expect(() => openOutput(true, stdout, screen(false)).refuse({ outcome: 'refused' }, () => '', error)).toThrow(error)
  expect(wasAnswered(error)).toBe(true)
  const next = 'fd models promote m 3 --force --reason TEXT'
  expect(JSON.parse(stdout.shown)).toEqual({ outcome: 'refused', error: { message: error.message, code: 1, next } })
})

const HEADING = ['', 'check', 'file', 'rows', 'detail']
const ROWS: (string | number)[][] = [
  ['ok', 'home', '/a/path/without/any/blank/that/is/long/enough/to/need/breaking.parquet', 12, 'all is well'],
  ['missing', '表のデータ', '', 1_234_567, 'no topics yet. Run: fd produce --dataset simulated, or 取引データを送る'],
  ['broken', 'a\u0007b\u001b[31m', 'e\u0301e\u0301e\u0301 👩‍👩‍👧 x', 3, 'first line\nsecond line of it'],
]
/** The characters that are not space or line, in order of their codes: words may be broken, wrapped or named again. */
const letters = (text: string): string[] => Array.from(text.replace(/[\s─]/g, '')).toSorted()

test.each([3, 7, 12, 20, 33, 47, 60, 80, 100, 140, Infinity])('a table fits %s columns, and loses nothing', (width) => {
  const shown = table(HEADING, ROWS, width)
  for (const line of shown.split('\n')) expect(cellWidth(line)).toBeLessThanOrEqual(Math.max(width, 4))
  const left = letters(shown)
  for (const letter of letters(
    table(
      HEADING.map(() => ''),
      ROWS,
      Infinity,
    ),
  )) {
    const at = left.indexOf(letter)
    expect(at, letter).toBeGreaterThanOrEqual(0)
    left.splice(at, 1)
  }
  // What comes from data moves no cursor and rings no bell.
  expect(shown).not.toContain('\u001b')
  expect(shown).not.toContain('\u0007')
})

test.each([14, 20, 33, 60, 100])('in %s columns a number is never broken', (width) => {
  expect(table(HEADING, ROWS, width)).toContain('1,234,567')
})

test('columns wrap at spaces, the widest first; where words do not fit, rows become blocks', () => {
  const rows = [['boosting', 'one two three four five six', 'a1b2c3d4e5f6']]
  expect(table(['model', 'text', 'run'], rows, 40)).toBe(
    [
      'model     text              run',
      '────────  ────────────────  ────────────',
      'boosting  one two three     a1b2c3d4e5f6',
      '          four five six',
    ].join('\n'),
  )
  expect(table(['model', 'text', 'run'], rows, 24)).toBe(
    ['model  boosting', 'text   one two three', '       four five six', 'run    a1b2c3d4e5f6'].join('\n'),
  )
})

test('pairs wrap beside their names, and stand below them where there is no room', () => {
  expect(pairs([['name', 'one two three four']], 22)).toBe('name  one two three\n      four')
  expect(pairs([['a longer name', 'one two']], 20)).toBe('a longer name\n  one two')
  expect(pairs([['n', 'a\tb']], Infinity)).toBe('n  a b')
})

test('wide characters count two cells, marks and joiners none, also where text is cut', () => {
  expect(['取引', 'e\u0301', '👩‍👩‍👧', 'ＡＢ', 'abc', ''].map(cellWidth)).toEqual([4, 1, 2, 4, 3, 0])
  expect([cutCells('取引データ', 6), cutCells('abcdef', 4), cutCells('abc', 3)]).toEqual(['取引…', 'abc…', 'abc'])
})

test('the width is that of a terminal; of anything else, and of one that does not say, it is not known', () => {
  expect(terminalWidth({ isTTY: true, columns: 72 })).toBe(72)
  expect([{}, { columns: 72 }, { isTTY: true }, { isTTY: true, columns: 0 }].map((on) => terminalWidth(on))).toEqual(
    Array(4).fill(Infinity),
  )
})
