import { join } from 'node:path'
import { afterAll, beforeAll, test } from 'vitest'
import { expectHostileHarmless } from './hostile.contract.ts'
import { makeWorld, type World } from './world.ts'

/** All of them in CI; at a desk, where a minute is long, a few. */
const COUNT = process.env['CI'] === undefined ? 2_000 : 10_000

let world: World
beforeAll(async () => {
  world = await makeWorld({ customers: 100, terminals: 200, days: 80, liveDays: 30 })
  await world.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut, '--limit', '1500')
})
afterAll(() => world[Symbol.asyncDispose]())

test(
  `${COUNT} malformed and hostile records: each is scored or a dead letter, and the others are scored as without them`,
  { timeout: 120_000 },
  async () => {
    const url = `lmdb:${join(world.home, 'hostile-log')}`
    await expectHostileHarmless(world, world.with({ FD_EVENT_LOG: url }), url, COUNT)
  },
)
