import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFd } from './fd-process.ts'
import { makeWorld, type World } from './world.ts'

let world: World
beforeAll(async () => {
  // Small batches and frequent checkpoints: more moments at which a kill can hit.
  world = await makeWorld({ customers: 200, terminals: 300, days: 80, liveDays: 20, scorer: { maxBatch: 64, checkpointEveryMs: 40 } })
})
afterAll(() => world[Symbol.asyncDispose]())

const KILLS = 20

/** Seeded, so that the moments can be tried again; what the machine does in them is its own. */
function random(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) / 0x80000000
}

test(`kill -9 at ${KILLS} random moments of a stream: each transaction has one prediction, that of an uninterrupted run`, { timeout: 180_000 }, async () => {
  const next = random(7)
  const config = ['--config', `${world.home}/config.yaml`]
  const producer = startFd(world.home, ['produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut, '--rate', '500', '--json'])
  let kills = 0
  while (kills < KILLS || producer.child.exitCode === null) {
    const scorer = startFd(world.home, ['score', '--group', 'killed', ...config])
    await scorer.says('Scoring with')
    await wait(next() * 500)
    scorer.child.kill('SIGKILL')
    expect((await scorer.ended).signal).toBe('SIGKILL')
    kills++
  }
  const { transactions } = JSON.parse((await producer.ended).stdout) as { transactions: number }
  await world.fd('score', '--group', 'killed', '--until-idle')
  await world.fd('score', '--group', 'unharmed', '--until-idle')

  const killed = await world.predictions('killed')
  const unharmed = await world.predictions('unharmed')
  expect(transactions).toBeGreaterThan(5_000)
  expect(killed.length).toBe(transactions)
  expect(killed.map((prediction) => ({ ...prediction, group: 'unharmed' }))).toEqual(unharmed)

  for (const group of ['killed', 'unharmed']) {
    const parity = JSON.parse(await world.fd('features', 'verify', '--group', group, '--json')) as Record<string, number>
    expect(parity).toMatchObject({ transactions, values: transactions * 15, differences: 0, duplicates: 0, missing: 0 })
  }
})
