import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { lastLine, openOutput, table } from './output.ts'

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
  expect(seen(stderr.shown)).toEqual(['a note', ''])
  bar.end()
  expect(seen(stderr.shown)).toEqual(['a note', expect.stringMatching(/^fit: done in/), ''])
  lastLine('an error', stderr)
  expect(seen(stderr.shown).slice(2)).toEqual(['an error', ''])
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
