import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startedProcesses, type Started } from '../started.ts'
import { cardTable } from './card-table.ts'
import { moneyTable } from './money-table.ts'
import { shopTable } from './shop-table.ts'
import { writeTable, type Table, type TableSize } from './table.ts'

/**
 * The way of a user with a table of one's own: a project of three files, features of one's own, and no file of fd
 * touched, from the table to a champion that decides, and to the proof that it was served what it was trained on.
 */

const WHOLE = process.env['CI'] !== undefined

interface Project {
  name: string
  /** Rows of its table, where it is not the whole test. */
  quick: number
  table: (size: TableSize) => Table
  /** The project's configuration. */
  settings: string
  dataset: string
  /** Where history ends and the stream begins: four fifths of the table. */
  cut: string
}

const numbered = (letter: string, count: number): string =>
  Array.from({ length: count }, (_, n) => `${letter}${n + 1}`).join(', ')

const PROJECTS: Project[] = [
  {
    name: 'card',
    quick: 3_000,
    table: cardTable,
    settings: 'scorer: { partitions: 3 }\n',
    cut: '2019-05-25',
    dataset: `
service: cards
schema:
  id: { column: trans_num, type: string }
  time: { column: trans_date_trans_time, unit: timestamp }
  amount: { column: amt, minorUnits: 2 }
  label: { column: is_fraud, delay: 1d }
  entities:
    - { name: card, column: cc_num, type: string, token: true }
    - { name: merchant, column: merchant, type: string }
    - { name: category, column: category, type: string }
    - { name: card_merchant, of: [card, merchant] }
  numeric: [lat, long, merch_lat, merch_long]
  categorical: [category]
`,
  },
  {
    name: 'money',
    quick: 3_000,
    table: moneyTable,
    settings: '',
    cut: '2018-01-25',
    dataset: `
service: money
schema:
  time: { column: step, unit: h, origin: 2018-01-01 }
  amount: { column: amount, minorUnits: 2 }
  label: { column: isFraud, delay: 1d }
  entities:
    - { name: sender, column: nameOrig, type: string }
    - { name: receiver, column: nameDest, type: string }
    - { name: type, column: type, type: string }
    - { name: pair, of: [sender, receiver] }
  numeric: [{ column: oldbalanceOrg, decimals: 2 }, newbalanceOrig]
  categorical: [type]
`,
  },
  {
    name: 'shop',
    quick: 1_500,
    table: shopTable,
    settings: '',
    cut: '2018-04-25',
    dataset: `
service: shop
schema:
  id: { column: TransactionID, type: integer }
  time: { column: TransactionDT, unit: s, origin: 2017-11-30 }
  amount: { column: TransactionAmt, minorUnits: 3 }
  label: { column: isFraud, delay: 3d }
  entities:
    - { name: card, column: card1, type: integer }
    - { name: address, column: addr1, type: string, optional: true }
    - { name: buyer, of: [card, address] }
    - { name: email, column: P_emaildomain, type: string, optional: true }
  numeric: [dist1, dist2, ${numbered('C', 14)}, ${numbered('D', 15)}, ${numbered('V', 339)}]
  categorical: [ProductCD, card6, P_emaildomain, R_emaildomain, ${numbered('M', 9)}]
`,
  },
]

describe.each(PROJECTS)('a project of a $name table', ({ name, quick, table, settings, dataset, cut }) => {
  const size: TableSize = { rows: WHOLE ? 200_000 : quick, seed: 11 }
  const root = mkdtempSync(join(tmpdir(), `fd-${name}-`))
  let started: Started
  beforeAll(() => {
    started = startedProcesses()
    for (const folder of ['datasets', 'features']) mkdirSync(join(root, folder))
    writeFileSync(join(root, 'fd.yaml'), settings)
    writeFileSync(join(root, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(root, 'datasets', `${name}.yaml`), `path: ${name}.csv\n${dataset}`)
    cpSync(join(import.meta.dirname, `${name}-features.ts`), join(root, 'features', `${name}.ts`))
    writeTable(join(root, `${name}.csv`), table(size))
  })
  afterAll(async () => {
    await started[Symbol.asyncDispose]()
    await rm(root, { recursive: true, force: true })
  })

  /** Types a command in the project, and reads the document that it prints. */
  async function fd<Document>(...args: string[]): Promise<Document> {
    const environment = { FD_PROJECT: root, FD_TOKEN_KEY: 'a secret of the tests' }
    const { code, signal, stdout, stderr } = await started.fd(join(root, '.fd'), [...args, '--json'], environment).ended
    if (code !== 0) throw new Error(`fd ${args.join(' ')} ended with ${code ?? signal}: ${stdout}\n${stderr}`)
    return JSON.parse(stdout) as Document
  }

  test(
    'goes to a champion that scores, and what it was served is what a batch computes',
    { timeout: 900_000 },
    async () => {
      const history = ['--dataset', name, '--until', cut]
      const { profile } = await fd<{ profile: { rows: number; stopped: null } }>('datasets', 'describe', name)
      expect(profile).toMatchObject({ rows: size.rows, stopped: null })
      await fd('features', 'backfill', ...history, '--online')
      const trained = await fd<{ version: number; metrics: Record<string, number> }>(
        'train',
        ...history,
        '--register',
        name,
        '--param',
        'rounds=30',
        '--alerts-per-day',
        '2',
      )
      // A guess would have the share of frauds, which is below .05.
      expect(trained.metrics['average_precision']).toBeGreaterThan(0.3)
      await fd('models', 'promote', name, '1')
      const { transactions } = await fd<{ transactions: number }>('produce', '--dataset', name, '--from', cut)
      expect(transactions).toBeGreaterThan(size.rows / 10)
      const { scored, alerts } = await fd<{ scored: number; alerts: number }>('score', '--until-idle')
      expect(scored).toBe(transactions)
      expect(alerts).toBeGreaterThan(0)
      expect(alerts).toBeLessThan(transactions)
      expect(await fd('features', 'verify', '--scores')).toMatchObject({
        transactions,
        differences: 0,
        duplicates: 0,
        missing: 0,
      })
    },
  )
})
