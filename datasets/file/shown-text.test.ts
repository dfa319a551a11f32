import { expect, test } from 'vitest'
import { quotedText, shownText } from './shown-text.ts'

const CARD = '4111111111111111'

test.each([
  ['plain text', 'Café 東京 😀, a "b" \\ c', 'Café 東京 😀, a "b" \\ c'],
  ['a blank that is none', '5\u00a0€', '5\\u00a0€'],
  ['what has no width', '\u200b5\u2060\ufeff', '\\u200b5\\u2060\\ufeff'],
  ['line ends and tabs', 'a\r\n\tb', 'a\\r\\n\\tb'],
  ['what moves a cursor', '\u001b[2J', '\\u001b[2J'],
  ['what turns the order of letters', 'c\u202e', 'c\\u202e'],
  ['half of a pair', 'c\ud800', 'c\\ud800'],
  ['a tag', '\u{e0041}', '\\u{e0041}'],
  ['a card number', `of ${CARD}.`, 'of …1111.'],
  ['a card number in groups', '4111 1111-1111 1111', '…1111'],
  ['two card numbers', `${CARD},${CARD}`, '…1111,…1111'],
  ['a number that is no card’s', '4111111111111112', '4111111111111112'],
  ['a time in microseconds', '1704448800000018', '1704448800000018'],
])('%s is shown so that it is seen, and is no card number', (_, text, shown) => {
  expect(shownText(text)).toBe(shown)
  expect(quotedText(text)).toBe(`"${shown}"`)
})

test('where a mistyped card number may stand, of every long number the last four digits are shown', () => {
  const shown = (text: string): string => shownText(text, { mask: 'all' })
  expect(shown('4111111111111112 ')).toBe('…1112 ')
  expect(shown(`2024-01-05 10:00,5,${CARD.repeat(3)},x`)).toBe('2024-01-05 10:00,5,…1111,x')
})

test('a long text is cut, however long it is, and never through a character or a card number', () => {
  expect(shownText('x'.repeat(60))).toBe('x'.repeat(60))
  expect(shownText('x'.repeat(61))).toBe(`${'x'.repeat(60)}…`)
  expect(quotedText('x'.repeat(1_000_000))).toBe(`"${'x'.repeat(60)}… (1000000 characters)`)
  expect(shownText(`${'x'.repeat(59)}😀`)).toBe(`${'x'.repeat(59)}…`)
  for (let most = 1; most < 60; most++) expect(shownText(`${CARD},`.repeat(40), { most })).not.toMatch(/\d{5}/)
})
