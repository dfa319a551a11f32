import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { makeWorld, type World } from './world.ts'

const DAY = 86_400_000

let world: World
/** What is scored where history ends exactly where the log begins. */
let exact: Map<number | string, Prediction>

beforeAll(async () => {
  world = await makeWorld({ customers: 60, terminals: 100, days: 70, liveDays: 12 })
  await produce(world)
  await world.fd('score', '--until-idle')
  exact = new Map((await world.predictions()).map((prediction) => [prediction.transaction_id, prediction]))
})
afterAll(() => world[Symbol.asyncDispose]())

async function produce({ fd, file, cut }: World): Promise<void> {
  await fd('produce', '--dataset', 'simulated', '--data', file, '--from', cut)
}

async function backfill({ fd, file }: World, ...until: string[]): Promise<void> {
  await fd('features', 'backfill', '--dataset', 'simulated', '--data', file, '--online', ...until)
}

async function deadLetters({ fd }: World): Promise<DeadLetter[]> {
  const lines = (await fd('topics', 'read', 'transactions.dlq')).split('\n').filter((line) => line !== '')
  return lines.map((line) => (JSON.parse(line) as { value: DeadLetter }).value)
}

/** The same home, model and log, with an online store of its own. */
function otherStore(name: string): World {
  return world.with({ FD_ONLINE_STORE: `lmdb:${world.home}/${name}` })
}

test('a history that overlaps the log: what both hold is counted once, the rest is scored as ever', async () => {
  const overlapping = otherStore('overlap')
  const until = new Date(Date.parse(world.cut) + 5 * DAY).toISOString()
  await backfill(overlapping, '--until', until)
  await overlapping.fd('score', '--group', 'overlap', '--until-idle')
  const predictions = await overlapping.predictions('overlap')
  const letters = await deadLetters(overlapping)
  const inBoth = [...exact.values()].filter(({ event_time: time }) => time < Date.parse(until))
  expect(inBoth.length).toBeGreaterThan(100)
  expect(letters.map(({ input }) => input.offset)).toEqual(inBoth.map(({ input }) => input.offset))
  expect(letters[0].reason).toMatch(/was here before, in the log or in the history that was backfilled/)
  expect(predictions.length).toBe(exact.size - inBoth.length)
  for (const { transaction_id: id, features, score } of predictions) {
    expect({ id, features, score }).toEqual({ id, features: exact.get(id)?.features, score: exact.get(id)?.score })
  }
  await overlapping.fd('features', 'verify', '--group', 'overlap')
})

test('a second backfill that holds what was scored already: nothing is counted or scored twice', async () => {
  const lines = (await world.fd('topics', 'read', 'predictions')).trim().split('\n')
  const customers = [...new Set(lines.map((line) => (JSON.parse(line) as { key: string }).key))].slice(0, 5)
  const online = (): Promise<string[]> => {
    const of = ['--service', 'card-fraud', '--group', 'scorer', '--entity']
    return Promise.all(customers.map((customer) => world.fd('features', 'get', ...of, `customer=${customer}`)))
  }
  const before = await online()
  await backfill(world)
  await world.fd('score', '--until-idle')
  expect(await online()).toEqual(before)
  expect((await world.predictions('scorer')).length).toBe(exact.size)
})

test('the same stream sent twice: each transaction has one prediction, and its repeat a dead letter', async () => {
  const twice = world.with({ FD_EVENT_LOG: `lmdb:${world.home}/twice`, FD_ONLINE_STORE: `lmdb:${world.home}/once` })
  await twice.backfill()
  await produce(twice)
  await produce(twice)
  await twice.fd('score', '--group', 'twice', '--until-idle')
  const predictions = await twice.predictions('twice')
  expect(predictions.map(({ transaction_id: id, features }) => ({ id, features }))).toEqual(
    [...exact.values()].map(({ transaction_id: id, features }) => ({ id, features })),
  )
  expect((await deadLetters(twice)).length).toBe(exact.size)
  await twice.fd('features', 'verify', '--group', 'twice')
})
