import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { checkService } from '../view/service-check.ts'
import { featureNames, serviceDigest } from '../view/view.ts'
import { amount, categorical, count, derived, numeric, request, service, view } from './builders.ts'
import { loadService } from './project-file.ts'
import { readService } from './service-schema.ts'

const views = [
  request({ amount: amount(), km: 'haversine(lat, lon, 52.5, 13.4)', country: categorical('country') }),
  view('card', { entity: 'card' }, { n: count('7d') }),
]
const shop = service('shop', '', [...views, derived({ each: 'amount / n', far: 'km > 100 && each > 5' })])

test('texts among request features and derived ones are expressions, as plain data', () => {
  expect(shop.views[0].features).toEqual([
    { name: 'amount', from: 'amount' },
    { name: 'km', from: 'expression', expression: 'haversine(lat, lon, 52.5, 13.4)' },
    { name: 'country', from: 'categorical', column: 'country' },
  ])
  expect(shop.views[2]).toEqual({
    kind: 'derived',
    name: 'derived',
    features: [
      { name: 'each', expression: 'amount / n' },
      { name: 'far', expression: 'km > 100 && each > 5' },
    ],
  })
  const read = readService(JSON.parse(JSON.stringify(shop)), 'a card')
  expect(read).toEqual(shop)
  expect(serviceDigest(read)).toBe(serviceDigest(shop))
})

test.each<[string, ReturnType<typeof service>, string[]]>([
  [
    'no CEL',
    service('shop', '', [request({ x: 'amount >' })]),
    [
      'view "transaction", feature "x", expression is "amount >": something is missing at the end',
      '  amount >',
      '          ^',
    ],
  ],
  [
    'a column where a feature is meant',
    service('shop', '', [...views, derived({ x: '1 + amuont' })]),
    ['view "derived", feature "x", expression', 'there is no amuont. Did you mean amount?', '  1 + amuont', '      ^'],
  ],
  ['a category', service('shop', '', [...views, derived({ x: 'country' })]), ['country is a category']],
  [
    'what follows',
    service('shop', '', [derived({ x: 'amount' }), request({ amount: amount() })]),
    ['amount does not stand before this feature'],
  ],
  ['nothing', service('shop', '', [request({ x: '' })]), ['feature "x", expression is "": give an expression']],
])('an expression of %s is refused as its file is loaded', (_, definition, lines) => {
  for (const line of lines) expect(() => readService(definition, 'features/shop.ts')).toThrow(line)
})

test('README’s service is read as it stands there, and fits a dataset with its columns', async () => {
  const readme = await readFile(join(PROJECT_ROOT, 'README.md'), 'utf8')
  const [, block] = /^### Arithmetic and conditions in features$.*?^```ts\n(.*?)^```$/ms.exec(readme) ?? []
  const folder = await mkdtemp(join(tmpdir(), 'fd-readme-'))
  try {
    const file = join(folder, 'shop.ts')
    await writeFile(file, `import { count, derived, mean, request, service, view } from 'fd/features'\n${block}`)
    const read = loadService(file, folder)
    expect(featureNames(read)).toEqual([
      'amount',
      'hour',
      'abroad',
      'km',
      'mean_7d',
      'nights_7d',
      'times_usual',
      'far_at_night',
    ])
    checkService(
      read,
      {
        time: { column: 'at', unit: 'timestamp' },
        amount: { column: 'price', minorUnits: 2 },
        entities: [{ name: 'card', column: 'card', type: 'string' }],
        numeric: ['lat', 'lon', 'shop_lat', 'shop_lon'],
        categorical: ['country'],
      },
      'shop',
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('columns are not known before there is a dataset', () => {
  const odd = service('shop', '', [request({ x: 'nowhere > 1', y: numeric('nowhere') })])
  expect(readService(odd, 'features/shop.ts')).toEqual(odd)
})
