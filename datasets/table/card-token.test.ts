import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig } from '../../configs/config.ts'
import { openDataset } from '../catalog.ts'
import { tokenizer } from './card-token.ts'
import { batchShape, type DatasetSchema } from './dataset.ts'
import { emptyBatch } from './transaction.ts'

let folder: string
const cards = ['4111111111111111', '5500005555555559', '4111111111111111']
const secret = 'a secret of the tests'

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-token-'))
  await writeFile(
    join(folder, 'payments.csv'),
    `id,at,amount,pan\n${cards.map((pan, i) => `${i},2024-01-01 00:00:0${i},1.00,${pan}`).join('\n')}\n`,
  )
  await writeFile(
    join(folder, 'payments.yaml'),
    `
service: user-anomaly
schema:
  id: { column: id, type: integer }
  time: { column: at, unit: timestamp }
  amount: { column: amount, minorUnits: 2 }
  entities: [{ name: customer, column: pan, type: string, token: true }]
`,
  )
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function keys(environment: Record<string, string>): Promise<string[]> {
  const config = loadConfig(undefined, { ...environment, FD_DATASET_FOLDER: folder })
  const dataset = await openDataset('payments', config, { data: join(folder, 'payments.csv') })
  const read: string[] = []
  for await (const batch of dataset.batches()) {
    read.push(...Array.from({ length: batch.size }, (_, row) => String(batch.entities[0][row])))
  }
  return read
}

test(
  // Whatever reads a batch may store or log it.
  'card numbers are tokens as soon as they are read: one card, one token, and another under another secret',
  async () => {
    const tokens = await keys({ FD_TOKEN_KEY: secret })
    expect(tokens[0]).toBe(tokens[2])
    expect(new Set(tokens).size).toBe(2)
    for (const token of tokens) expect(token).toMatch(/^[\w-]{22}$/)
    expect(await keys({ FD_TOKEN_KEY: secret })).toEqual(tokens)
    expect((await keys({ FD_TOKEN_KEY: `${secret}!` }))[0]).not.toBe(tokens[0])
  },
)

test('a row without a card has no token', async () => {
  const schema: DatasetSchema = {
    time: { column: 't', unit: 'ms' },
    amount: { column: 'a', minorUnits: 2 },
    entities: [{ name: 'payee', column: 'pan', type: 'string', token: true, optional: true }],
    numeric: [],
    categorical: [],
  }
  const batch = emptyBatch(batchShape(schema), 3)
  batch.entities[0] = [cards[0], '', '']
  tokenizer(schema, secret)(batch, 0, batch.size)
  expect(batch.entities[0]).toEqual([expect.stringMatching(/^[\w-]{22}$/), '', ''])
})

test.each([[{}], [{ FD_TOKEN_KEY: 'short' }]])(
  'without a secret, or with a short one, no card is read (%j)',
  async (environment) => {
    await expect(keys(environment)).rejects.toThrow(
      /Column pan holds card numbers.*Set FD_TOKEN_KEY to a secret of at least 16 characters/,
    )
  },
)

test('a key of several columns is made of tokens, and the card is in none of its parts', async () => {
  const data = join(folder, 'pairs.csv')
  await writeFile(data, `id,at,amount,pan,shop\n7,2024-01-01,1.00,${cards[0]},s\n8,2024-01-01,1.00,${cards[0]},\n`)
  const entities = [
    '{ name: customer, column: pan, type: string, token: true }',
    '{ name: shop, column: shop, type: string, optional: true }',
    '{ name: pair, of: [shop, customer] }',
  ]
  const yaml = await readFile(join(folder, 'payments.yaml'), 'utf8')
  await writeFile(join(folder, 'pairs.yaml'), yaml.replace(/entities: .*/, `entities: [${entities.join(', ')}]`))
  const config = loadConfig(undefined, { FD_TOKEN_KEY: secret, FD_DATASET_FOLDER: folder })
  const dataset = await openDataset('pairs', config, { data })
  const pairs: unknown[] = []
  for await (const batch of dataset.batches()) {
    const [customers, , keys] = batch.entities
    expect(keys[0]).toBe(JSON.stringify(['s', customers[0]]))
    pairs.push(customers[0], keys[1])
  }
  expect(pairs).toEqual([expect.stringMatching(/^[\w-]{22}$/), ''])
})
