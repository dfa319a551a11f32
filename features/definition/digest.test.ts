import { expect, test } from 'vitest'
import { featureServices } from '../catalog.ts'
import { canonicalJson } from '../view/canonical.ts'
import { serviceDigest, withMaxEvents, type FeatureService } from '../view/view.ts'

/** Models and states are registered under these: another definition of these services would leave them without one. */
const PROMISED: Record<string, string> = {
  'card-fraud': '2552e0fdec013f3cc0e13737ba47384d8076e57e418d7203836373abdb0c1528',
  'kaggle-cc': '5403869a27dcac9c95b742de2465e1fc427fb40dc34fe07ec405b292f367d099',
  'user-anomaly': '16768e147669e9200d576f474e2496f44f5b8158f961f3e25ff0bd8922e95826',
}
const LIMITED_TO_64 = '3763618ca46fc8623aedda49387a9f629778452129a2797b49ee7517ff0ee7b5'

/** The value with the keys of every object in the opposite order. */
function backwards(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(backwards)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, inner]) => [key, backwards(inner)]),
  )
}

test('the digests of the services that models are registered with stay', () => {
  expect(Object.fromEntries(featureServices.map((service) => [service.name, serviceDigest(service)]))).toEqual(PROMISED)
  const [cardFraud] = featureServices
  expect(serviceDigest(withMaxEvents(cardFraud, 64))).toBe(LIMITED_TO_64)
})

test('a digest does not depend on the order of keys, and is that of the definition read back from JSON', () => {
  for (const service of featureServices) {
    const limited = withMaxEvents(service, 64)
    for (const each of [service, limited]) {
      const other = backwards(each) as FeatureService
      expect(JSON.stringify(other)).not.toBe(JSON.stringify(each))
      expect(serviceDigest(other)).toBe(serviceDigest(each))
      expect(serviceDigest(JSON.parse(JSON.stringify(each)) as FeatureService)).toBe(serviceDigest(each))
    }
  }
})

test('keys that are not known yet follow the known ones by the alphabet; the order of lists counts', () => {
  expect(canonicalJson({ zeta: 1, name: 'n', alpha: { last: 2, delay: undefined, length: 1 } })).toBe(
    '{"name":"n","alpha":{"length":1,"last":2},"zeta":1}',
  )
  expect(canonicalJson([2, 1])).not.toBe(canonicalJson([1, 2]))
})
