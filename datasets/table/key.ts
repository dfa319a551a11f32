/** Longest key or category, in UTF-16 units. They become keys in stores, and stores limit the length of keys. */
export const LONGEST_TEXT = 256

/** What a whole number must be to be an id or a key, for messages. Beyond it two numbers would be one. */
export const WHOLE_NUMBER = 'a whole number from 0 to 2^53 − 1'

export function isWholeKey(number: unknown): number is number {
  // −0 would be the key 0 in memory and text of its own elsewhere.
  return Number.isSafeInteger(number) && (number as number) >= 0 && !Object.is(number, -0)
}

/**
 * Why a text cannot be a category or part of a key; undefined when it can. A lone surrogate has no UTF-8 form, so two
 * texts that differ in memory would be one in every store.
 */
export function textFault(text: string): string | undefined {
  if (text.length > LONGEST_TEXT) return `at most ${LONGEST_TEXT} characters`
  return text.isWellFormed() ? undefined : 'well-formed text, without half a surrogate pair'
}

/** Whether a cell of text is blank: empty, or spaces alone. A row with a blank cell in an optional key has no key. */
export function isBlank(text: string): boolean {
  return /^ *$/.test(text)
}

/**
 * Whether a key column holds no key in a row: NaN among whole numbers, '' among texts. No key is either, so rows
 * without one never share a history.
 */
export function isNoKey(key: number | string): boolean {
  return key === '' || Number.isNaN(key)
}

/** Why a text cannot be an id or a key; undefined when it can. Blanks at its ends would make two keys of one card. */
export function keyFault(text: string): string | undefined {
  if (text === '') return 'text that is not empty'
  return text === text.trim() ? textFault(text) : 'text without blanks at its ends'
}
