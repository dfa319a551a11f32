import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEnvironment } from '../../configs/connections/lmdb.ts'
import { openEventLog } from '../../datasets/open.ts'
import { openRegistry } from '../../registry/open.ts'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import { makeWorld, type World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await makeWorld({ customers: 100, terminals: 200, days: 80, liveDays: 30 })
  await world.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut, '--limit', '500')
  await world.fd('score', '--until-idle')
})
afterAll(() => world[Symbol.asyncDispose]())

/**
 * Changes the bytes of every record of an LMDB database whose key contains `part`.
 *
 * @returns a function that puts the old bytes back.
 */
async function tamper(
  folder: string,
  database: string,
  part: string,
  change: (bytes: Buffer) => Buffer,
): Promise<() => Promise<void>> {
  const write = async (next: (key: Buffer, bytes: Buffer) => Buffer): Promise<Map<string, Buffer>> => {
    const environment = openEnvironment(join(world.home, folder))
    const records = environment.database(database)
    const all = Array.from(records.getKeys(), (key) => {
      return [key.toString('latin1'), Buffer.from(records.get(key) ?? '')] as const
    })
    const before = new Map(all.filter(([key]) => key.includes(part)))
    environment.write(() => {
      for (const [key, bytes] of before)
        records.putSync(Buffer.from(key, 'latin1'), next(Buffer.from(key, 'latin1'), bytes))
    })
    await environment.close()
    return before
  }
  const before = await write((_, bytes) => change(bytes))
  expect(before.size).toBeGreaterThan(0)
  return async () => void (await write((key, bytes) => before.get(key.toString('latin1')) ?? bytes))
}

/** A change that makes a JSON record one of another form. */
const ofForm =
  (form: number) =>
  (bytes: Buffer): Buffer =>
    Buffer.from(JSON.stringify({ ...(JSON.parse(bytes.toString()) as object), form }))

/** The command must be refused with code 2 and these words, without output; doctor must end with code 1. */
async function expectRefused(command: string[], reason: RegExp, byDoctor = true): Promise<void> {
  const { code, stderr, stdout } = await world.try(...command)
  expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(reason)
  expect(stderr).toMatch(/a newer fd wrote it\. Update this one: git pull/)
  expect(stderr).not.toMatch(/^ {4}at /m)
  const doctor = await world.try('doctor')
  expect(doctor.code).toBe(byDoctor ? 1 : 0)
}

test.each<[string, string, string, string, (bytes: Buffer) => Buffer, string[], RegExp, boolean]>([
  [
    'a checkpoint',
    'online',
    'records',
    'checkpoint/',
    ofForm(2),
    ['score', '--until-idle'],
    /^Record "checkpoint\/\S+" in \S+data\.mdb has form 2, this fd knows form 1/m,
    false,
  ],
  [
    'a base',
    'online',
    'records',
    'base/',
    ofForm(3),
    ['features', 'get', '--service', 'card-fraud', '--entity', 'customer=1'],
    /^Record "base\/card-fraud" in \S+data\.mdb has form 3/,
    true,
  ],
  [
    'a state',
    'online',
    'states',
    '\0',
    (bytes) => Buffer.concat([Buffer.of(3), bytes.subarray(1)]),
    ['features', 'get', '--service', 'card-fraud', '--entity', 'customer=1'],
    /^The stored state of customer 1 has form 3/,
    false,
  ],
  [
    'a topic',
    join('log', 'shared'),
    'topics',
    'transactions',
    ofForm(2),
    ['topics', 'list'],
    /^Topic "transactions\S*" in \S+data\.mdb has form 2/,
    true,
  ],
])(
  '%s that a newer fd wrote is refused by name, with what to do; the old one works again',
  async (_, folder, database, part, change, command, reason, byDoctor) => {
    const putBack = await tamper(folder, database, part, change)
    await expectRefused(command, reason, byDoctor)
    await putBack()
    expect((await world.try(...command)).code).toBe(0)
  },
)

test('what an fd before forms had numbers wrote is read', async () => {
  const formless = (bytes: Buffer): Buffer => {
    const { form: _, ...older } = JSON.parse(bytes.toString()) as { form: number }
    return Buffer.from(JSON.stringify(older))
  }
  const putBack = [
    await tamper('online', 'records', 'base/card', formless),
    await tamper('online', 'records', 'checkpoint/', formless),
  ]
  await world.fd('score', '--until-idle')
  expect(JSON.parse(await world.fd('features', 'verify', '--json'))).toMatchObject({
    transactions: 500,
    differences: 0,
    duplicates: 0,
    missing: 0,
  })
  for (const back of putBack) await back()
})

test('a model card, and a registry, of a newer fd', async () => {
  {
    await using registry = await openRegistry(`sqlite:${join(world.home, 'registry')}`, { now: Date.now })
    await registry.setModelVersionTag('card-fraud', 1, 'fd.card.form', '2')
  }
  await expectRefused(
    ['score', '--until-idle'],
    /^The card of version 1 of "card-fraud" has form 2.*fd train --register card-fraud/m,
  )
  {
    await using registry = await openRegistry(`sqlite:${join(world.home, 'registry')}`, { now: Date.now })
    await registry.setModelVersionTag('card-fraud', 1, 'fd.card.form', '1')
  }
  const database = new DatabaseSync(join(world.home, 'registry', 'registry.db'))
  const schema = Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
  database.exec(`PRAGMA user_version = ${schema + 1}`)
  await expectRefused(['models', 'list'], /registry\.db has schema \d+, this fd knows schema \d+: a newer fd wrote it/)
  database.exec(`PRAGMA user_version = ${schema}`)
  database.close()
  await world.fd('score', '--until-idle')
})

test(
  'records of a newer schema: what is only more passes, ' +
    'what says so or lacks a field goes to transactions.dlq with the reason',
  async () => {
    const known = { TX_DATETIME: Date.UTC(2018, 8, 1), CUSTOMER_ID: 1, TERMINAL_ID: 1, TX_AMOUNT: 12.5 }
    const records = [
      { TRANSACTION_ID: 9_000_001, ...known, WALLET: { kind: 'new' }, schema_version: 1 },
      { TRANSACTION_ID: 9_000_002, ...known, schema_version: 2 },
      { TRANSACTION_ID: 9_000_003, ...known, TX_AMOUNT: undefined, AMOUNT_MINOR: 1250 },
    ]
    {
      await using log = await openEventLog(`lmdb:${join(world.home, 'log')}`)
      const written = records.map((value) => ({ value: JSON.stringify(value), timestamp: 0 }))
      await log.append('transactions', written)
    }
    await world.fd('score', '--until-idle')
    expect((await world.predictions('scorer')).at(-1)?.transaction_id).toBe(9_000_001)
    const letters = (await world.fd('topics', 'read', 'transactions.dlq'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { value: DeadLetter }).value)
    expect(letters.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^schema_version: expected 1, found 2: .*newer/),
      expect.stringMatching(/^TX_AMOUNT: expected a number, found nothing/),
    ])
    expect(letters.map(({ text }) => (JSON.parse(text) as { TRANSACTION_ID: number }).TRANSACTION_ID)).toEqual([
      9_000_002, 9_000_003,
    ])
  },
)
