import { expect, test } from 'vitest'
import { featureServices } from '../catalog.ts'
import { serviceDigest, withMaxEvents } from '../view/view.ts'
import {
  amount,
  count,
  distinct,
  each,
  ever,
  first,
  fraudCount,
  isNew,
  last,
  max,
  mean,
  min,
  refundCount,
  refundSum,
  request,
  secondsSinceFirst,
  secondsSincePrevious,
  service,
  shareSame,
  std,
  sum,
  targetMean,
  view,
} from './builders.ts'
import { readService } from './service-schema.ts'

const plain = {
  name: 'shop',
  description: '',
  views: [{ kind: 'aggregate', name: 'card', entity: 'card', includesCurrent: true, features: [feature({})] }],
}

/** A count, with some keys as given; undefined leaves one out. */
function feature(keys: object): object {
  return { name: 'n', function: 'count', window: { length: 5 }, ...keys }
}

function withFeatures(...features: unknown[]): object {
  return { ...plain, views: [{ ...plain.views[0], features }] }
}

test('fd’s own services are read as they are, by the same digest', () => {
  for (const own of featureServices.flatMap((each) => [each, withMaxEvents(each, 64)])) {
    const read = readService(JSON.parse(JSON.stringify(own)), 'a card')
    expect(read).toEqual(own)
    expect(serviceDigest(read)).toBe(serviceDigest(own))
  }
})

test('what has not the form of a definition is refused, by view and feature, with what to give', () => {
  const faults: [definition: unknown, message: string][] = [
    [null, 'the service: expected object'],
    [[], 'the service: expected object'],
    [{ ...plain, name: 'a b' }, 'the service, name is "a b": give a name of at most 100 letters'],
    [{ ...plain, views: [] }, 'the service, views: it has no views'],
    [{ ...plain, version: 2 }, 'the service: it takes no "version"'],
    [{ ...plain, views: [{ ...plain.views[0], kind: 'stream' }] }, 'view "card", kind is "stream": give aggregate'],
    [{ ...plain, views: [{ ...plain.views[0], maxEvents: 65 }] }, 'view "card", maxEvents is 65: give a power of two'],
    [{ ...plain, views: [plain.views[0], plain.views[0]] }, 'view "card", name is "card": another view has this name'],
    [withFeatures(), 'view "card", features: it has no features'],
    [withFeatures(feature({}), feature({})), 'feature "n", name is "n": another feature has this name, in view "card"'],
    [withFeatures(null), 'view "card", feature number 1'],
    [withFeatures(feature({ name: undefined })), 'feature number 1, name is missing'],
    [
      withFeatures(feature({ function: 'cuont' })),
      'feature "n", function is "cuont": there is no function "cuont": give one',
    ],
    [withFeatures(feature({ function: undefined })), 'feature "n", function is missing: give one of count'],
    [withFeatures(feature({ window: undefined })), 'feature "n", window is missing: give a window'],
    [withFeatures(feature({ window: '10m' })), 'feature "n", window is "10m": give a window'],
    [withFeatures(feature({ window: { length: 0 } })), 'window.length is 0: give a length above 0'],
    [withFeatures(feature({ window: { length: Number.NaN } })), 'feature "n", window: give a window'],
    [withFeatures(feature({ window: { length: 5, delay: -1 } })), 'window.delay is -1: give a delay of 0 or more'],
    [withFeatures(feature({ window: { last: 0 } })), 'window.last is 0: give 1 event or more'],
    [withFeatures(feature({ window: { last: 2 ** 20 } })), 'give fewer events than the 1048576 of a key'],
    [withFeatures(feature({ window: { length: 5, hop: 0 } })), 'window.hop is 0: give a hop above 0'],
    [withFeatures(feature({ window: { ever: false } })), 'feature "n", window: give a window'],
    [withFeatures(feature({ function: 'std' })), 'feature "n", of is missing'],
    [withFeatures(feature({ of: 'amount' })), 'feature "n": it takes no "of"'],
    [withFeatures(feature({ where: '' })), 'feature "n", where is "": give an expression'],
    [
      withFeatures(feature({ function: 'fraud_count', window: { ever: true } })),
      'feature "n", window: "fraud_count" cannot be over ever, since a label could not find its event',
    ],
    [
      withFeatures(feature({ function: 'distinct', of: 'shop', window: { ever: true } })),
      'feature "n", window: "distinct" cannot be over ever, since it would keep every value',
    ],
    [
      withFeatures(feature({ function: 'fraud_share', window: { length: 5, hop: 5 } })),
      'feature "n", window: "fraud_share" cannot have a hop: leave it out',
    ],
    [withFeatures(feature({ windows: 1 })), 'feature "n": it takes no "windows"'],
    [
      withFeatures(feature({ function: 'fraud_share', smoothing: { prior: 2, weight: 1 } })),
      'smoothing.prior is 2: a prior is a share, from 0 to 1',
    ],
  ]
  for (const [definition, message] of faults) {
    expect(() => readService(definition, 'features/shop.ts')).toThrow(message)
    expect(() => readService(definition, 'features/shop.ts')).toThrow(/^features\/shop.ts is no definition/)
  }
})

test('builders give plain data; texts become milliseconds', () => {
  const shop = service('shop', 'ours', [
    request({ amount: amount() }),
    view(
      'card',
      { entity: 'card' },
      {
        ...each(['10m', '1.5h'], (w) => ({ [`n_${w}`]: count(w) })),
        mean_of_5: mean('amount', last(5)),
      },
    ),
    view(
      'merchant',
      { entity: 'merchant', includesCurrent: false },
      {
        risk: targetMean('28d', { delay: '7d', prior: 0.01, weight: 20 }),
      },
    ),
  ])
  const DAY = 86_400_000
  expect(readService(shop, 'a test')).toEqual({
    name: 'shop',
    description: 'ours',
    views: [
      { kind: 'request', name: 'transaction', features: [{ name: 'amount', from: 'amount' }] },
      {
        kind: 'aggregate',
        name: 'card',
        entity: 'card',
        includesCurrent: true,
        features: [
          { name: 'n_10m', function: 'count', window: { length: 600_000 } },
          { name: 'n_1.5h', function: 'count', window: { length: 5_400_000 } },
          { name: 'mean_of_5', function: 'mean_amount', window: { last: 5 } },
        ],
      },
      {
        kind: 'aggregate',
        name: 'merchant',
        entity: 'merchant',
        includesCurrent: false,
        features: [
          {
            name: 'risk',
            function: 'fraud_share',
            window: { length: 28 * DAY, delay: 7 * DAY },
            smoothing: { prior: 0.01, weight: 20 },
          },
        ],
      },
    ],
  })
})

test('there is a builder for every function, window and option', () => {
  const ofNumbers = { sum, mean, std, min, max, last, first }
  for (const [name, build] of Object.entries(ofNumbers)) {
    expect(build('weight', '1h')).toEqual({ function: name, of: 'weight', window: { length: 3_600_000 } })
  }
  const ofValues = { distinct, is_new: isNew, share_same: shareSame }
  for (const [name, build] of Object.entries(ofValues)) {
    const options = { delay: '1s', hop: '1m', where: 'amount > 5' }
    const window = { length: 3_600_000, delay: 1000, hop: 60_000 }
    expect(build('shop', '1h', options)).toEqual({ function: name, of: 'shop', window, where: 'amount > 5' })
  }
  const others = { count, fraud_count: fraudCount, refund_count: refundCount, refund_sum: refundSum }
  for (const [name, build] of Object.entries(others)) {
    expect(build(ever, { delay: '1s' })).toEqual({ function: name, window: { ever: true, delay: 1000 } })
  }
  const where = { where: 'true' }
  expect(secondsSincePrevious(where)).toEqual({ function: 'seconds_since_previous', ...where })
  expect(secondsSinceFirst()).toEqual({ function: 'seconds_since_first' })
})

test('a mistake that types would show is refused at run time, too', () => {
  const mistakes: [make: () => unknown, message: RegExp][] = [
    [() => count('10x'), /"10x" is no length of time: give one such as 30s, 10m, 1h, 7d/],
    [() => count('7d', { dealy: '1d' } as object), /There is no option "dealy" here. There are: delay, hop, where/],
    [() => count(last(5), { delay: '1d' }), /last\(5\) counts events, and has no delay/],
    [() => view('card', { entty: 'card' } as never, {}), /There is no option "entty" here. There are: entity/],
    [() => each(['1h', '2h'], () => ({ n: count('1h') })), /each\(\) makes two features "n"/],
    [() => last('amount', undefined as never), /"" is no length of time/],
    [() => count(ever, { hop: '1d' }), /A hop belongs to a length of time/],
    [() => secondsSincePrevious({ delay: '1d' } as object), /There is no option "delay" here. There are: where/],
  ]
  for (const [make, message] of mistakes) expect(make).toThrow(message)
})
