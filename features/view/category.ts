/** Codes below 2^24 are exact in float32. */
const FORMER_CODES = 1 << 24

/**
 * The number that stands for a category in a feature matrix: 53 bits of hash of its UTF-16 units, exact in float64 and
 * the same in every process. Missing ('') is 0.
 *
 * It is what stages hand on and what `verify` compares. No model reads it: a model reads the name and looks it up in
 * its own dictionary. So two categories that shared a code would still be told apart.
 */
export function categoryCode(category: string): number {
  if (category === '') return 0
  let hash = 0x9e3779b9
  for (let i = 0; i < category.length; i++) {
    hash = Math.imul(hash ^ category.charCodeAt(i), 0x85ebca6b)
    hash ^= hash >>> 15
  }
  return (hash >>> 3) * FORMER_CODES + formerCategoryCode(category)
}

/**
 * The lower 24 bits of a category's code: FNV-1a, folded. Models that have no dictionary of their own read these as a
 * number.
 */
export function formerCategoryCode(category: string): number {
  if (category === '') return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < category.length; i++) hash = Math.imul(hash ^ category.charCodeAt(i), 0x01000193)
  const folded = ((hash >>> 24) ^ hash) & (FORMER_CODES - 1)
  return folded === 0 ? 1 : folded
}

/** Whether a prediction's code is that of the category whose code is given. Earlier predictions hold former codes. */
export function isSameCategory(code: number, served: number): boolean {
  return served === code || served === code % FORMER_CODES
}
