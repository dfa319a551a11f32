/** Codes below 2^24 are exact in float32, so a category survives the cast that every feature goes through. */
const CODES = 1 << 24

/**
 * The number that stands for a category in a feature matrix: FNV-1a of its UTF-16 units, folded to 24 bits, so that it
 * is the same in every process without a shared dictionary. Missing ('') is 0. Training learns what each code means and
 * refuses a vocabulary in which two categories share one.
 */
export function categoryCode(category: string): number {
  if (category === '') return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < category.length; i++) hash = Math.imul(hash ^ category.charCodeAt(i), 0x01000193)
  const folded = ((hash >>> 24) ^ hash) & (CODES - 1)
  return folded === 0 ? 1 : folded
}
