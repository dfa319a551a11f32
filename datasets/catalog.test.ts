import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { Config } from '../configs/config.ts'
import { DATASET_FOLDER, loadConfig } from '../configs/config.ts'
import { datasetNames, idColumnsOf, openDataset } from './catalog.ts'
import { readUserDataset } from './described/user-dataset.ts'
import { simulatedFile, simulateToParquet } from './simulator/simulator.ts'
import { openDatabase } from './table/duckdb.ts'
import { DAY, HOUR } from './table/transaction.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-catalog-'))
afterAll(() => rmSync(folder, { recursive: true }))
const config: Config = loadConfig(undefined, { FD_HOME: join(folder, 'home') })

let folders = 0
function described(files: Record<string, string>): string {
  const made = join(folder, `yaml${folders++}`)
  mkdirSync(made)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(made, name), text)
  return made
}

/** The configuration with these files as the user's datasets. */
function within(files: Record<string, string>): Config {
  return { ...config, datasetFolder: described(files) }
}

const SHOP = `
description: a shop
service: user-anomaly
schema:
  time: { column: t, unit: s, origin: 2013-09-01 }
  amount: { column: a, minorUnits: 0 }
  label: { column: y, delay: 12h }
  entities: [{ name: user, column: u, type: string }]
`

const timed = (more: string): string => SHOP.replace(/unit: s.*?}/, `unit: timestamp, ${more} }`)

const UNTIMED = SHOP.replace(/time: \{.*\}/, 'time: none')

const keyed = (as: string): string => SHOP.replace('type: string', as)
const TWO_ROLES = /line 5, schema: the column u has two roles that write it differently/

const HANDBOOK_SPLIT = 'kind: delayed, trainFrom: 2018-07-25, trainDays: 7, delayDays: 7, testDays: 7'
/** The dataset with further entities. */
const and = (...more: string[]): string => SHOP.replace(']', more.map((entity) => `, { ${entity} }`).join('') + ']')

const ON_DEVICE = `split: { ${HANDBOOK_SPLIT}, cardEntity: device }\n`

test('the built-in datasets come first, then the user’s own; the example is none', () => {
  expect(datasetNames(within({ 'zoo.yaml': SHOP, 'apple.yaml': SHOP, 'example.yaml': SHOP, 'notes.txt': '' }))).toEqual(
    ['kaggle-cc', 'kaggle-cc-synthetic', 'handbook', 'simulated', 'apple', 'zoo'],
  )
  expect(() => datasetNames(within({ 'handbook.yaml': SHOP }))).toThrow(
    /handbook\.yaml has the name of a built-in dataset/,
  )
})

test('an unknown name lists the known ones', async () => {
  await expect(openDataset('kagle', config)).rejects.toThrow(
    /There is no dataset "kagle"\. There are: kaggle-cc, kaggle-cc-synthetic, handbook, simulated/,
  )
  await expect(openDataset('constructor', config)).rejects.toThrow(/There is no dataset "constructor"/)
})

test('a user’s own table is read by its YAML; the flag and the configuration say where it is', async () => {
  const data = join(folder, 'shop.csv')
  const text = 't,a,y,u\n1,5,1,ann\n'
  writeFileSync(data, text)
  const yamls = within({ 'shop.yaml': `${SHOP}path: ${data}\n`, 'bare.yaml': SHOP })
  const configured = { ...yamls, datasets: { bare: { path: data } } }
  for (const dataset of [
    await openDataset('shop', yamls),
    await openDataset('bare', yamls, { data }),
    await openDataset('bare', configured),
  ]) {
    expect(dataset).toMatchObject({
      service: 'user-anomaly',
      description: 'a shop',
      file: data,
      split: { kind: 'ordered', trainShare: 0.7 },
    })
    expect([await dataset.count(), await dataset.digest()]).toEqual([
      1,
      createHash('sha256').update(text).digest('hex'),
    ])
    for await (const batch of dataset.batches()) {
      const time = Date.UTC(2013, 8, 1) + 1000
      expect([batch.size, batch.time[0], batch.amount[0], batch.knownAt[0], batch.entities[0][0]]).toEqual([
        1,
        time,
        5,
        time + 12 * HOUR,
        'ann',
      ])
    }
  }
  await expect(openDataset('bare', yamls)).rejects.toThrow(
    /The dataset bare has no file\. Give --data FILE, or set `path` in .*bare\.yaml/,
  )
  await expect(openDataset('bare', { ...yamls, datasets: { bare: { path: '/none.csv' } } })).rejects.toThrow(
    /There is no file \/none\.csv\. Mend datasets\.bare\.path/,
  )
})

test('a folder of one’s own: a path is relative to it, and one that is not there is named', async () => {
  const yamls = within({ 'shop.yaml': `${SHOP}path: shop.csv\n`, 'shop.csv': 't,a,y,u\n1,5,1,ann\n' })
  expect((await openDataset('shop', yamls)).file).toBe(join(yamls.datasetFolder, 'shop.csv'))
  expect(loadConfig(undefined, { FD_DATASET_FOLDER: 'mine' }).datasetFolder).toBe(resolve('mine'))
  expect(() => datasetNames({ ...config, datasetFolder: '/none' })).toThrow(/There is no folder \/none of datasets/)
})

test.each([
  ['not YAML', '{', /shop\.yaml is not YAML/],
  ['an unknown key', `${SHOP}colour: red\n`, /colour/],
  ['a length of time without unit', SHOP.replace('12h', '12'), /delay/],
  ['a length of time that is none', SHOP.replace('12h', 'soon'), /give a length of time such as 7d, 12h, 30m/],
  ['both delay and knownAt', SHOP.replace('12h', '12h, knownAt: k'), /give delay or knownAt, not both/],
  ['a date that is none', SHOP.replace('2013-09-01', 'yesterday'), /give a date such as/],
  [
    'a split by an entity it has not',
    `${SHOP}split: { ${HANDBOOK_SPLIT}, cardEntity: card }\n`,
    /name one of the schema’s entities/,
  ],
  ['the label among its features', `${SHOP}  numeric: [x, y]\n`, /the column y is the label, so it can be no feature/],
  ['a card number beside its token', `${keyed('type: string, token: true')}  categorical: [u]\n`, TWO_ROLES],
  ['a token that is the amount', keyed('type: string, token: true').replace('column: a', 'column: u'), TWO_ROLES],
  ['a number beside its text', `${keyed('type: integer')}  categorical: [u]\n`, TWO_ROLES],
  ['a number that is a category', `${SHOP}  numeric: [n]\n  categorical: [n]\n`, /the column n has two roles/],
  ['an amount that is a category', `${SHOP}  categorical: [a]\n`, /the column a has two roles/],
  ['a counted time that is a category', `${SHOP}  categorical: [t]\n`, /the column t has two roles/],
  ['a number that is a key of text', `${SHOP}  numeric: [u]\n`, TWO_ROLES],
  [
    'decimals that none are',
    `${SHOP}  numeric: [m, { column: n, decimals: 7 }]\n`,
    /line 9, schema\.numeric\.1\.decimals: /,
  ],
  [
    'a column without decimals',
    `${SHOP}  numeric: [{ column: n }]\n`,
    /give a column, or { column: NAME, decimals: 2 }/,
  ],
  [
    'a feature that stands twice, once with decimals',
    `${SHOP}  numeric: [n, { column: n, decimals: 2 }]\n`,
    /n is twice among the numeric columns/,
  ],
  ['a feature that stands twice', `${SHOP}  numeric: [n, n]\n`, /n is twice among the numeric columns/],
  [
    'two entities of one name',
    keyed('type: string }, { name: user, column: v, type: string'),
    /user is the name of two/,
  ],
  ['a column without a name', `${SHOP}  numeric: ['']\n`, /a column needs a name/],
  ['a column that no object can have', `${SHOP}  numeric: [__proto__]\n`, /no field of a record is called __proto__/],
  [
    'a column that makes a label of each record',
    `${SHOP}  numeric: [fraud_known_at]\n`,
    /line 5, schema: in the stream a record with the field fraud_known_at is a fraud label/,
  ],
  [
    'a column in the place of the id',
    `${SHOP}  numeric: [transaction_id]\n`,
    /transaction_id holds the number of a row/,
  ],
  ['an unknown key in a role', SHOP.replace('unit: s', 'units: s'), /line 5, schema\.time: Unrecognized key: "units"/],
  ['a value of another kind', SHOP.replace('minorUnits: 0', 'minorUnits: two'), /line 6, schema\.amount\.minorUnits: /],
  [
    'a format that is none',
    timed('format: DD/MM/YYYY'),
    /line 5, schema\.time\.format: a format needs one year, one month/,
  ],
  ['a zone that is none', timed('zone: Berlin'), /line 5, schema\.time\.zone: give a zone of the IANA database/],
  [
    'a format of counted times',
    SHOP.replace('unit: s', "unit: s, format: '%d/%m/%Y'"),
    /format and zone belong to times/,
  ],
  [
    'an origin of written times',
    SHOP.replace('unit: s', 'unit: timestamp'),
    /an origin belongs to times that are counted/,
  ],
  [
    'a missing value that is no text',
    `${SHOP}  missing: [NA, NULL]\n`,
    /line 9, schema\.missing\.1: give text in quotes/,
  ],
  [
    'a key of the log that may be blank',
    keyed('type: string, optional: true'),
    /line 8, schema\.entities\.0\.optional: the key of the first entity divides the log/,
  ],
  [
    'cards that may be blank',
    `${SHOP.replace(']', ', { name: device, column: d, type: string, optional: true }]')}${ON_DEVICE}`,
    /split\.cardEntity: name one of the schema’s entities, whose key is not optional/,
  ],
  [
    'parts that are no entities',
    and('name: pair, of: [user, shop]'),
    /pair is of shop, which is no entity with a column/,
  ],
  [
    'a part that is made of others',
    and('name: a, column: a, type: string', 'name: b, of: [user, a]', 'name: c, of: [user, b]'),
    /line 5, schema: c is of b, which is no entity with a column\. There are: user, a/,
  ],
  ['one part', and('name: pair, of: [user]'), /pair is of user: name two to 4 entities, each once/],
  ['a part twice', and('name: pair, of: [user, user]'), /pair is of user, user: name two to 4 entities/],
  [
    'several columns as the key of the log',
    SHOP.replace('[{', '[{ name: pair, of: [user, shop] }, { name: shop, column: s, type: string }, {'),
    /the key of the first entity divides the log, so it has a column: put pair behind user, shop/,
  ],
  [
    'a column beside parts',
    and('name: pair, of: [user, user], column: u'),
    /line 8, schema\.entities\.1\.column: Unrecognized key: "column"/,
  ],
  ['an entity of no type', and('name: shop, column: s'), /line 8, schema\.entities\.1\.type: /],
  ['a delay and no times', UNTIMED, /line 7, schema\.label: delay needs times, and this dataset has none/],
  [
    'a split by days and no times',
    `${UNTIMED.replace(', delay: 12h', '')}split: { ${HANDBOOK_SPLIT}, cardEntity: user }\n`,
    /split\.kind: this split counts days, and the dataset has no times/,
  ],
  [
    'times that are neither',
    SHOP.replace(/time: \{.*\}/, 'time: never'),
    /line 5.*column and the unit of the times, or none/,
  ],
  [
    'an end of times and no times',
    `${UNTIMED.replace(', delay: 12h', '')}until: '2018-02-01'\n`,
    /line 9, until: times end there, and/,
  ],
  ['two separators alike', `${SHOP}  numbers: { thousands: '.' }\n`, /decimal and thousands must differ/],
  ['an end that is no time', `${SHOP}until: 2018\n`, /line 9, until: /],
  ['nothing', '', /does not describe a dataset/],
])('a YAML with %s is the user’s error', async (_what, text, message) => {
  await expect(openDataset('shop', within({ 'shop.yaml': text }))).rejects.toThrow(message)
})

test.each(['csv', 'parquet'])('a row ahead of the present, or of the dataset’s end, is an error (%s)', async (form) => {
  const file = (...times: number[]): string => {
    const csv = join(folder, `ahead${folders++}.csv`)
    writeFileSync(csv, `t,a,y,u\n${times.map((time) => `${new Date(time).toISOString()},5,0,ann\n`).join('')}`)
    return csv
  }
  const stored = async (csv: string): Promise<string> => {
    if (form === 'csv') return csv
    await using database = await openDatabase()
    const table = `${csv}.parquet`
    await database.rows(`COPY (SELECT t::TIMESTAMP AS t, a, y, u FROM '${csv}') TO '${table}' (FORMAT parquet)`)
    return table
  }
  const rows = async (yaml: string, data: string, sort: boolean, settings = config): Promise<number> => {
    const yamls = described({ 'shop.yaml': yaml })
    let read = 0
    const dataset = await openDataset('shop', { ...settings, datasetFolder: yamls }, { data })
    for await (const { size } of dataset.batches({ sort })) read += size
    return read
  }
  const [first, end] = [Date.UTC(2018, 0), Date.UTC(2018, 1)]
  const place = form === 'csv' ? 'line 3' : 'row 1'
  const SHOWN = timed('')
  const near = await stored(file(first, Date.now() + HOUR / 2))
  const ahead = Date.now() + DAY
  const far = await stored(file(first, ahead, ahead + 1))
  for (const sort of [false, true]) {
    expect(await rows(SHOWN, near, sort)).toBe(2)
    const day = new Date(ahead).toISOString().slice(0, 10)
    await expect(rows(SHOWN, far, sort)).rejects.toThrow(
      new RegExp(`${place}, column t: "${day}[^"]*" lies further ahead .*scorer\\.maxAhead`),
    )
    expect(await rows(SHOWN, far, sort, { ...config, scorer: { ...config.scorer, maxAhead: 2 * DAY } })).toBe(3)
    expect(await rows(`${SHOWN}until: '2999-01-01'\n`, far, sort)).toBe(3)
    const upTo = `${SHOWN}until: '2018-02-01'\n`
    expect(await rows(upTo, await stored(file(first, end - 1)), sort)).toBe(2)
    await expect(rows(upTo, await stored(file(first, end)), sort)).rejects.toThrow(
      new RegExp(`${place}, column t: "2018-02-01.*" does not lie before 2018-02-01T00:00:00.000Z, the dataset's`),
    )
  }
})

test('ids stand in the id columns of all datasets, and in the field of records without one', () => {
  const shop = SHOP.replace('schema:', 'schema:\n  id: { column: payment, type: string }')
  const yamls = within({ 'shop.yaml': shop, 'again.yaml': shop, 'none.yaml': SHOP, 'broken.yaml': '{' })
  expect(idColumnsOf(yamls)).toEqual(['transaction_id', 'TRANSACTION_ID', 'payment'])
})

test.each([
  ['the amount as a feature', `${SHOP}  numeric: [a]\n`],
  ['a written time as a category', `${timed('')}  categorical: [t]\n`],
  ['when a fraud became known under its usual name', SHOP.replace('delay: 12h', 'knownAt: fraud_known_at')],
  ['the id under its usual name', SHOP.replace('schema:', 'schema:\n  id: { column: transaction_id, type: string }')],
  ['an entity of several columns', and('name: shop, column: s, type: integer', 'name: pair, of: [shop, user]')],
  ['a key of two entities', keyed('type: string }, { name: shop, column: u, type: string')],
])('a YAML may have %s', (_, text) => {
  expect(readUserDataset(join(described({ 'shop.yaml': text }), 'shop.yaml')).service).toBe('user-anomaly')
})

test('decimals stand beside their column', () => {
  const read = (text: string): unknown => readUserDataset(join(described({ 'shop.yaml': text }), 'shop.yaml')).schema
  expect(read(`${SHOP}  numeric: [m, { column: constructor, decimals: 3 }]\n`)).toMatchObject({
    numeric: ['m', 'constructor'],
    decimals: { constructor: 3 },
  })
  expect(read(`${SHOP}  numeric: [m]\n`)).not.toHaveProperty('decimals')
})

test('the example is a valid description', () => {
  const example = readUserDataset(join(DATASET_FOLDER, 'example.yaml'))
  expect(example.schema.label).toEqual({ column: 'is_fraud', delay: 7 * DAY })
  expect(example.schema.entities).toEqual([
    { name: 'customer', column: 'user_id', type: 'string' },
    { name: 'device', column: 'device_id', type: 'string', optional: true },
  ])
})

test('the Handbook’s split is read from YAML as the built-in one has it', async () => {
  const text = `${SHOP}split: { ${HANDBOOK_SPLIT}, cardEntity: user }\n`
  const { split } = readUserDataset(join(described({ 'shop.yaml': text }), 'shop.yaml'))
  const data = join(folder, 'any.csv')
  writeFileSync(data, 'x\n')
  expect({ ...split, cardEntity: 'customer' }).toEqual((await openDataset('handbook', config, { data })).split)
})

test('handbook and simulated say how to get their file; what the simulator wrote is read back', async () => {
  await expect(openDataset('handbook', config)).rejects.toThrow(/Give --data FILE, or set datasets\.handbook\.path/)
  await expect(openDataset('simulated', config)).rejects.toThrow(/Run: fd datasets simulate/)
  const file = simulatedFile(config)
  expect(dirname(dirname(file))).toBe(config.home)
  const made = await simulateToParquet({ customers: 100, terminals: 1000, days: 12, seed: 1 }, file)
  const dataset = await openDataset('simulated', config)
  let [transactions, frauds] = [0, 0]
  for await (const batch of dataset.batches()) {
    transactions += batch.size
    for (let row = 0; row < batch.size; row++) {
      frauds += batch.label[row]
      if (batch.knownAt[row] !== batch.time[row] + 7 * DAY) throw new Error(`row ${row}: a label is known after 7 days`)
    }
  }
  expect({ transactions, frauds }).toEqual(made)
})
