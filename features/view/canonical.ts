/**
 * The keys of a definition in the order in which its digest reads them. Definitions were written in this order before
 * users had their own, so it must stay: models are registered under those digests. New keys come last.
 */
const ORDER = [
  'kind',
  'name',
  'entity',
  'includesCurrent',
  'features',
  'maxEvents',
  'function',
  'from',
  'column',
  'window',
  'smoothing',
  'length',
  'delay',
  'last',
  'prior',
  'weight',
]
const PLACE = new Map(ORDER.map((key, place) => [key, place]))

/**
 * A definition as JSON that does not depend on the order of its keys: the known ones first, all others by the alphabet.
 * Keys without a value are left out. Lists keep their order, which is that of the features.
 */
export function canonicalJson(definition: unknown): string {
  return JSON.stringify(definition, (_, value: unknown) => (isRecord(value) ? ordered(value) : value))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function ordered(record: Record<string, unknown>): Record<string, unknown> {
  const place = (key: string): number => PLACE.get(key) ?? ORDER.length
  const byPlace = ([a]: [string, unknown], [b]: [string, unknown]): number =>
    place(a) - place(b) || Number(a > b) - Number(a < b)
  return Object.fromEntries(Object.entries(record).toSorted(byPlace))
}
