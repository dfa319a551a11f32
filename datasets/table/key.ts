import { partsOf, type DatasetSchema, type PlacedEntity } from './dataset.ts'
import type { KeyColumn } from './transaction.ts'

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

/** Most bytes of UTF-8 of the key of an entity of several columns. The embedded store takes keys below 1,978. */
export const LONGEST_COMPOUND = 1_024

/** A row whose keys make up one that is too long. */
export interface CompoundFault {
  /** The entity whose key that is. */
  entity: string
  /** The column of its longest part. */
  column: string
  problem: string
}

/**
 * Fills the keys of entities of several columns in one row, from those of their parts, which stand in the row as they
 * are to be kept: as tokens, where they are card numbers. Files and records make such keys here and nowhere else.
 */
export function compoundKeys(
  schema: Pick<DatasetSchema, 'entities'>,
): (keys: KeyColumn[], row: number) => CompoundFault | undefined {
  const compounds = schema.entities.flatMap((entity, index) =>
    'of' in entity ? [{ name: entity.name, index, parts: partsOf(schema, entity) }] : [],
  )
  return (keys, row) => {
    for (const { name, index, parts } of compounds) {
      const key = compoundKey(parts.map((part) => keys[part.index][row]))
      keys[index][row] = key
      // No character takes more than three bytes.
      if (3 * key.length > LONGEST_COMPOUND && Buffer.byteLength(key) > LONGEST_COMPOUND)
        return { entity: name, column: longest(parts, keys, row), problem: TOO_LONG }
    }
    return undefined
  }
}

/** The key that some keys make up; '' where one of them is none. */
export function compoundKey(parts: readonly (number | string)[]): string {
  return parts.some(isNoKey) ? '' : JSON.stringify(parts)
}

const TOO_LONG = `at most ${LONGEST_COMPOUND} bytes as JSON`

function longest(parts: readonly PlacedEntity[], keys: readonly KeyColumn[], row: number): string {
  const sizes = parts.map(({ index }) => String(keys[index][row]).length)
  return parts[sizes.indexOf(Math.max(...sizes))].entity.column
}
