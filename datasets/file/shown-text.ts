/** Most characters of a text that a message shows. */
const MOST = 60

/**
 * Whether this is the number of a payment card: 13 to 19 digits whose last one is right (Luhn), perhaps in groups, or
 * with the `.0` of a tool that took it for a float.
 */
export function isCardNumber(text: string): boolean {
  const digits = text.replace(/\.0$/, '').replaceAll(/[ -]/g, '')
  if (!/^[1-9]\d{12,18}$/.test(digits)) return false
  let sum = 0
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits[digits.length - 1 - place])
    sum += place % 2 === 0 ? digit : digit < 5 ? 2 * digit : 2 * digit - 9
  }
  return sum % 10 === 0
}

/** A card number with its last four digits only, as receipts show it. */
export function masked(number: string): string {
  return `…${number.replace(/\.0$/, '').slice(-4)}`
}

/** How a text is shown. */
interface Showing {
  /** Most characters. */
  most?: number
  /** Long numbers that are masked: those of payment cards, or all, where a mistyped card number may stand. */
  mask?: 'cards' | 'all'
}

/**
 * A text of a file or of a record as messages show it: what cannot be seen is written out (`\u00a0`), so that it can
 * be found and moves no cursor; of a card number only the last four digits are left; and a long text is cut.
 */
export function shownText(text: string, showing: Showing = {}): string {
  const { shown, isCut } = show(text, showing)
  return isCut ? `${shown}…` : shown
}

/** The same in quotes. Of a text that is cut the length is told. */
export function quotedText(text: string, showing: Showing = {}): string {
  const { shown, isCut } = show(text, showing)
  return isCut ? `"${shown}… (${text.length} characters)` : `"${shown}"`
}

function show(text: string, { most = MOST, mask = 'cards' }: Showing): { shown: string; isCut: boolean } {
  // Masks make a text shorter, to no less than a third, so more is looked at than is shown.
  const head = visible(maskNumbers(text.slice(0, 4 * most), mask))
  if (head.length <= most && text.length <= 4 * most) return { shown: head, isCut: false }
  // The cut may leave half of a surrogate pair.
  return { shown: head.slice(0, most).replace(/\p{Cs}$/u, ''), isCut: true }
}

function maskNumbers(text: string, mask: 'cards' | 'all'): string {
  return text.replaceAll(/(?<!\d)\d(?:[ -]?\d){11,}/g, (number) =>
    mask === 'all' || (isCardNumber(number) && !TIME_COUNT.test(number)) ? masked(number) : number,
  )
}

/** Milliseconds, microseconds or nanoseconds up to 2033. A card whose number begins with 1 has 15 digits. */
const TIME_COUNT = /^1(\d{12}|\d{15}|\d{18})$/

/** Control and format characters, half surrogate pairs, and every blank that is not the plain one. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu

const SHORT: Record<string, string> = { '\t': '\\t', '\n': '\\n', '\r': '\\r' }

function visible(text: string): string {
  return text.replaceAll(UNSEEN, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16)
    return SHORT[character] ?? (code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`)
  })
}
