import { expect, test } from 'vitest'
import { UserError } from '../configs/user-error.ts'
import type { DatasetSchema, TimeRole } from '../datasets/table/dataset.ts'
import { TIME_UNITS } from '../datasets/table/time.ts'
import { modelCardTags, readModelCard, type ModelCard } from './model-card.ts'

const card: ModelCard = {
  service: { name: 'card-fraud', digest: 'a1' },
  dataset: {
    name: 'handbook',
    digest: 'b2',
    schema: {
      id: { column: 'TRANSACTION_ID', type: 'integer' },
      time: { column: 'TX_TIME', unit: 's', origin: 1_522_540_800_000 },
      amount: { column: 'TX_AMOUNT', minorUnits: 2 },
      label: { column: 'TX_FRAUD', delay: 604_800_000 },
      entities: [{ name: 'customer', column: 'CUSTOMER_ID', type: 'integer' }],
      numeric: [],
      categorical: [],
    },
  },
  training: { from: 1_532_476_800_000, to: 1_533_081_599_000 },
  holdout: { digest: 'c3', rows: 58_264, period: { from: 1_533_686_400_000.25, to: 1_534_291_199_000 } },
  signature: {
    features: ['tx_amount', 'tx_during_night'],
    input: { name: 'features', dtype: 'float32', shape: [-1, 2] },
    outputs: [{ name: 'score', dtype: 'float32', shape: [-1] }],
  },
  dictionaries: { merchant: 1203, country: 0 },
  threshold: 0.1 + 0.2,
  alertsPerDay: 2.5,
  metrics: {
    average_precision: 0.664,
    onnx_parity: 5e-8,
    'card precision@100': 0.293,
    lift: Infinity,
    undefined_here: Number.NaN,
  },
  codeVersion: '0.1.0+83def5a',
}

test('a card read back from its tags is the card', () => {
  const limited = { ...card, service: { ...card.service, maxEvents: 4096 } }
  for (const each of [card, limited])
    expect(readModelCard({ name: 'm', version: 1, tags: modelCardTags(each) })).toEqual(each)
})

/** All properties of a type, those that may be absent too. */
type Whole<T> = T extends object ? { [K in keyof T]-?: Whole<NonNullable<T[K]>> } : T
const time: Whole<TimeRole> = { column: 'at', unit: 'timestamp', origin: 1, format: '%d/%m/%Y', zone: 'Europe/Berlin' }

/** The compiler asks for every property here that a schema may have. */
const WHOLE: Whole<DatasetSchema> = {
  id: { column: 'id', type: 'string' },
  time,
  amount: { column: 'amount', minorUnits: 2 },
  refunds: true,
  label: { column: 'fraud', delay: 1000, knownAt: 'known' },
  entities: [
    { name: 'card', column: 'card', type: 'string', token: true, optional: true },
    { name: 'card_shop', of: ['card', 'shop'] },
  ],
  numeric: ['x'],
  decimals: { x: 2 },
  categorical: ['country'],
  missing: ['NA'],
  numbers: { decimal: ',', thousands: '.' },
}

test.each<DatasetSchema['time']>(['none', time, ...TIME_UNITS.map((unit) => ({ ...time, unit }))])(
  'a schema is read back whole, since the stream is read by it: time %o',
  (other) => {
    const schema = { ...WHOLE, time: other }
    const whole = { ...card, dataset: { ...card.dataset, schema } }
    expect(readModelCard({ name: 'm', version: 1, tags: modelCardTags(whole) })).toEqual(whole)
  },
)

test('a definition of any length is read back: a tag holds no more than MLflow takes', () => {
  for (const features of [1, 400, 4000]) {
    const names = Array.from({ length: features }, (_, i) => ({
      name: `n𝄞é${i}`,
      function: 'count',
      window: { last: i },
    }))
    const definition = { name: 'own', description: '', views: [{ kind: 'aggregate', features: names }] }
    const own = { ...card, service: { ...card.service, definition } }
    const tags = modelCardTags(own)
    expect(Object.values(tags).every((value) => value.length <= 100_000 && value.isWellFormed())).toBe(true)
    expect(readModelCard({ name: 'm', version: 1, tags })).toEqual(own)
  }
  const broken = { ...modelCardTags(card), 'fd.service.definition': '{' }
  expect(() => readModelCard({ name: 'm', version: 1, tags: broken })).toThrow(/fd.service.definition/)
})

test('the names of the tags are fixed', () => {
  expect(Object.keys(modelCardTags({ ...card, metrics: { average_precision: 1 } })).sort()).toEqual([
    'fd.card.form',
    'fd.code.version',
    'fd.dataset.digest',
    'fd.dataset.name',
    'fd.dataset.schema',
    'fd.dictionaries',
    'fd.holdout.digest',
    'fd.holdout.from',
    'fd.holdout.rows',
    'fd.holdout.to',
    'fd.metric.average_precision',
    'fd.service.digest',
    'fd.service.name',
    'fd.signature',
    'fd.threshold',
    'fd.threshold.alerts_per_day',
    'fd.training.from',
    'fd.training.to',
  ])
})

test('a card of a newer fd is refused by name; one from before cards had a form is read', () => {
  const { 'fd.card.form': form, ...older } = modelCardTags(card)
  expect(form).toBe('1')
  expect(readModelCard({ name: 'm', version: 1, tags: older })).toEqual(card)
  const newer = { name: 'm', version: 7, tags: { ...older, 'fd.card.form': '2' } }
  expect(() => readModelCard(newer)).toThrow(UserError)
  const refusal = 'The card of version 7 of "m" has form 2, this fd knows form 1: a newer fd wrote it\\.'
  const advice = 'Update this one: git pull.*fd train --register m'
  expect(() => readModelCard(newer)).toThrow(new RegExp(`^${refusal} ${advice}$`))
})

test('a card from before periods and budgets were recorded is read without them', () => {
  const { training: _, alertsPerDay: __, ...older } = { ...card, holdout: { digest: 'c3', rows: 58_264 } }
  expect(readModelCard({ name: 'm', version: 1, tags: modelCardTags(older) })).toEqual(older)
})

test('tags of others do no harm', () => {
  expect(
    readModelCard({ name: 'm', version: 1, tags: { ...modelCardTags(card), owner: 'ann', 'mlflow.x': 'y' } }),
  ).toEqual(card)
})

test('a version that fd did not register is refused, with every missing tag and the next command', () => {
  expect(() => readModelCard({ name: 'm', version: 4, tags: {} })).toThrow(UserError)
  expect(() => readModelCard({ name: 'm', version: 4, tags: {} })).toThrow(
    /Version 4 of "m"[^]*fd\.service\.name[^]*fd\.threshold[^]*fd train --register m/,
  )
})

test.each([
  ['fd.threshold', 'high'],
  ['fd.threshold', ''],
  ['fd.threshold', 'Infinity'],
  ['fd.holdout.rows', '0'],
  ['fd.signature', '{"features":[]}'],
  ['fd.signature', '{'],
  ['fd.dataset.schema', '[]'],
  ['fd.dataset.schema', JSON.stringify({ ...WHOLE, missing_texts: [] })],
  ['fd.service.digest', ''],
  ['fd.metric.average_precision', 'good'],
])('tag %s = %j is refused by name', (tag, value) => {
  expect(() => readModelCard({ name: 'm', version: 4, tags: { ...modelCardTags(card), [tag]: value } })).toThrow(
    tag.replace('fd.metric.', ''),
  )
})
