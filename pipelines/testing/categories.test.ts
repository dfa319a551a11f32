import { afterAll, expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { ownData } from './own-data.ts'

const SHOP = `
service: attributes
path: shop.csv
schema:
  id: { column: id, type: string }
  time: { column: at, unit: timestamp }
  amount: { column: amount, minorUnits: 2 }
  label: { column: fraud }
  entities: [{ name: card, column: card, type: string }]
  numeric: [items]
  categorical: [merchant, country]
`
const HEADER = 'id,at,amount,fraud,card,merchant,country,items'
/** Names that a careless reader of tables, of JSON or of objects would change. */
const ODD = [
  'Café "Zum Löwen", Bern',
  '東京店',
  '🛒',
  '__proto__',
  'constructor',
  'null',
  'two\nlines',
  'x'.repeat(256),
]
const MERCHANTS = [...ODD, ...Array.from({ length: 900 }, (_, i) => `shop ${i}`)]
/** Of each ten merchants one is bad, the odd `東京店` among them. */
const isBad = (merchant: number): boolean => merchant % 10 === 1
const ROWS = 12_000

function cell(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function at(row: number): string {
  return new Date(Date.UTC(2024, 0, 1) + row * 60_000).toISOString()
}

/** Payments at many merchants; half of them go to the first few. */
function payments(): string[] {
  const random = randomStream(5)
  return Array.from({ length: ROWS }, (_, row) => {
    const merchant = Math.floor(MERCHANTS.length * random.uniform() ** 3)
    const fraud = random.uniform() < (isBad(merchant) ? 0.6 : 0.01) ? 1 : 0
    const name = random.uniform() < 0.03 ? '' : cell(MERCHANTS[merchant])
    const amount = (1 + 99 * random.uniform()).toFixed(2)
    const country = ['CH', 'DE', ''][random.integer(3)]
    return [row, at(row), amount, fraud, random.integer(300), name, country, 1 + (row % 4)].join(',')
  })
}

/** A missing merchant, some that training has not seen, and one that it has learned to suspect. */
const PROBES = ['', 'nowhere', 'Shop 7', 'ハ', '東京店']
const UNSEEN = PROBES.slice(1, 4)
const AMOUNTS = 50
/** The same payment at each of these merchants, for many amounts. */
const probes = (): string[] =>
  Array.from({ length: AMOUNTS * PROBES.length }, (_, n) => {
    const [amount, merchant] = [1 + 2 * Math.floor(n / PROBES.length), PROBES[n % PROBES.length]]
    return `p${n},${at(ROWS + n)},${amount},0,9,${merchant},CH,2`
  })

const history = payments()
const own = ownData({ 'shop.yaml': SHOP, 'shop.csv': [HEADER, ...history].join('\n') })
afterAll(() => own[Symbol.asyncDispose]())

/** Trains, promotes and serves one model of the shop's payments, as a scorer group of its name. */
async function serve(model: string, ...params: string[]): Promise<void> {
  const register = ['--model', model, ...params, '--register', 'shop', '--json']
  const trained = JSON.parse(await own.fd('train', '--dataset', 'shop', ...register)) as Record<string, unknown>
  const version = String(trained['version'])
  const described = await own.fd('models', 'describe', `shop/${version}`)
  // The rare merchants, of fewer than ten training rows, have no place in the dictionary.
  const [, merchants, countries] = /names known +merchant (\d+), country (\d+)\n/.exec(described) ?? []
  expect(Number(countries)).toBe(2)
  expect(Number(merchants)).toBeGreaterThan(ODD.length)
  expect(Number(merchants)).toBeLessThan(MERCHANTS.length)
  await own.fd('models', 'promote', 'shop', version, '--force', '--reason', 'to see its scores')
  await own.fd('score', '--until-idle', '--group', model)
}

/** The scores of the probes, by merchant, in the order of their amounts. */
function probed(predictions: Prediction[]): Map<string, number[]> {
  const scores = new Map<string, number[]>(PROBES.map((merchant) => [merchant, []]))
  for (const { transaction_id: id, features, score } of predictions)
    if (String(id).startsWith('p')) scores.get(String(features['merchant'] ?? ''))?.push(score)
  return scores
}

const mean = (scores: number[] = []): number => scores.reduce((sum, score) => sum + score, 0) / scores.length

test('merchants of any name train, are served and proven; one never seen scores as a missing one', async () => {
  const live = [HEADER, ...history.slice(-2000), ...probes()].join('\n')
  await own.fd('produce', '--dataset', 'shop', '--data', own.write('live.csv', live))
  await serve('boosting', '--param', 'rounds=40')
  await serve('neural', '--param', 'epochs=5')
  const all = await own.predictions()
  for (const group of ['boosting', 'neural']) {
    const predictions = all.filter((prediction) => prediction.group === group)
    expect(predictions).toHaveLength(2000 + AMOUNTS * PROBES.length)
    const names = new Set(predictions.map(({ features }) => features['merchant']))
    for (const name of [null, 'nowhere', 'Café "Zum Löwen", Bern', '🛒', '__proto__', 'two\nlines'])
      expect(names).toContain(name)
    const scores = probed(predictions)
    for (const unseen of UNSEEN) expect(scores.get(unseen)).toEqual(scores.get(''))
    expect(mean(scores.get('東京店'))).toBeGreaterThan(mean(scores.get('')) + 0.2)
    expect(await own.fd('features', 'verify', '--group', group)).toMatch(/differences +0\n/)
  }
}, 300_000)
