import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase, sqlText } from '../../../datasets/table/duckdb.ts'
import type { Prediction } from '../../../serving/prediction.ts'
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
  /** The entities, as options of `fd init`. What else there is it finds by itself. */
  entities: string[]
  /** What is then changed in an editor: file, text, and what takes its place. */
  edits: [file: string, from: string, to: string][]
  /** Where history ends and the stream begins: four fifths of the table. */
  cut: string
}

/** Makes an entity of several columns of what `fd init` proposes in a comment. */
function compound(file: string, name: string, of: string): Project['edits'][number] {
  const entity = `- { name: ${name}, of: [${of}] }`
  return [file, `# Of several: ${entity}`, entity]
}

const PROJECTS: Project[] = [
  {
    name: 'card',
    quick: 3_000,
    table: cardTable,
    entities: ['card=cc_num', 'merchant=merchant', 'category=category'],
    edits: [
      compound('datasets/card.yaml', 'card_merchant', 'card, merchant'),
      ['datasets/card.yaml', 'categorical: [\n', 'categorical: [\n    category,\n'],
      ['datasets/card.yaml', 'service: card', 'service: own'],
      ['fd.yaml', '#   scorer: { partitions: 3 }', 'scorer: { partitions: 3 }'],
    ],
    cut: '2019-05-25',
  },
  {
    name: 'money',
    quick: 3_000,
    table: moneyTable,
    entities: ['sender=nameOrig', 'receiver=nameDest', 'type=type'],
    edits: [
      compound('datasets/money.yaml', 'sender_receiver', 'sender, receiver'),
      ['datasets/money.yaml', 'categorical: []', 'categorical: [type]'],
      ['datasets/money.yaml', 'delay: 7d', 'delay: 1d'],
      ['datasets/money.yaml', 'service: money', 'service: own'],
    ],
    cut: '2020-01-25',
  },
  {
    name: 'shop',
    quick: 1_500,
    table: shopTable,
    entities: ['card=card1', 'address=addr1', 'email=P_emaildomain'],
    edits: [
      compound('datasets/shop.yaml', 'card_address', 'card, address'),
      ['datasets/shop.yaml', 'categorical: [\n', 'categorical: [\n    P_emaildomain,\n'],
      ['datasets/shop.yaml', 'service: shop', 'service: own'],
    ],
    cut: '2020-05-27',
  },
]

describe.each(PROJECTS)('a project of a $name table', ({ name, quick, table, entities, edits, cut }) => {
  const size: TableSize = { rows: WHOLE ? 200_000 : quick, seed: 11 }
  const folder = mkdtempSync(join(tmpdir(), `fd-${name}-`))
  const root = join(folder, 'project')
  let started: Started
  beforeAll(() => {
    started = startedProcesses()
    writeTable(join(folder, `${name}.csv`), table(size))
  })
  afterAll(async () => {
    await started[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  /** Types a command, and reads the document that it prints. */
  async function fd<Document>(...args: string[]): Promise<Document> {
    return JSON.parse(await printed(...args, '--json')) as Document
  }

  async function printed(...args: string[]): Promise<string> {
    const environment = { FD_PROJECT: existsSync(root) ? root : '', FD_TOKEN_KEY: 'a secret of the tests' }
    const { code, signal, stdout, stderr } = await started.fd(join(root, '.fd'), args, environment).ended
    if (code !== 0) throw new Error(`fd ${args.join(' ')} ended with ${code ?? signal}: ${stdout}\n${stderr}`)
    return stdout
  }

  async function readPredictions(): Promise<Prediction[]> {
    const lines = (await printed('topics', 'read', 'predictions')).trim().split('\n')
    return lines.map((line) => (JSON.parse(line) as { value: Prediction }).value)
  }

  /** Changes the project's files as its user does, who writes features of one's own in place of the first ones. */
  function edit(): void {
    for (const [file, from, to] of edits) {
      const text = readFileSync(join(root, file), 'utf8')
      expect(text).toContain(from)
      writeFileSync(join(root, file), text.replace(from, to))
    }
    rmSync(join(root, 'features', `${name}.ts`))
    cpSync(join(import.meta.dirname, `${name}-features.ts`), join(root, 'features', 'own.ts'))
  }

  test(
    'goes to a champion that scores, and what it was served is what a batch computes',
    { timeout: 900_000 },
    async () => {
      const given = entities.flatMap((entity) => ['--entity', entity])
      await fd('init', root, '--from', join(folder, `${name}.csv`), '--name', name, ...given)
      edit()
      await fd('features', 'check')
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

  // In several partitions the entities behind the log's key see events in the order in which those were read.
  test.skipIf(edits.some(([, , to]) => to.includes('partitions')))(
    'scores the table as a file with the very scores of the stream',
    { timeout: 300_000 },
    async () => {
      const table = join(folder, `${name}.csv`)
      const out = join(root, 'scores.parquet')
      expect(await fd('score', '--file', table, '--out', out)).toMatchObject({ scored: size.rows })
      await using database = await openDatabase()
      const id = name === 'shop' ? 'TransactionID' : 'file_row_number'
      const rows = await database.rows(
        `SELECT ${id}::DOUBLE AS id, score FROM read_parquet(${sqlText(out)}, file_row_number = true)`,
      )
      const scores = new Map(rows.map((row) => [row['id'], row['score']]))
      const predictions = await readPredictions()
      expect(predictions.length).toBeGreaterThan(size.rows / 10)
      expect(predictions.filter((each) => scores.get(each.transaction_id) !== each.score)).toEqual([])
    },
  )
})
