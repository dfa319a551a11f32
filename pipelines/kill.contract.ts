import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import type { World } from './world.ts'

/** Seeded, so that the moments can be tried again; what the machine does in them is its own. */
export function random(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) / 0x80000000
}

/**
 * Kills the scorer with −9 at random moments of a stream, then scores the same log once more in peace as another group.
 * Whatever the log and the store are, each transaction must have one prediction of the killed group, equal bit for bit to
 * that of the group left in peace, and the features of both must be what batch computes.
 */
export async function expectNothingLostOrDoubled(world: World, options: { kills: number; rate: number; longestLifeMs: number }): Promise<{ transactions: number }> {
  const next = random(7)
  const producer = world.start('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut, '--rate', String(options.rate), '--json')
  for (let kills = 0; kills < options.kills || producer.child.exitCode === null; kills++) {
    const scorer = world.start('score', '--group', 'killed')
    await scorer.says('Scoring with')
    await wait(next() * options.longestLifeMs)
    scorer.child.kill('SIGKILL')
    const { signal, stderr } = await scorer.ended
    // One that ended by itself says why in the message of the failure.
    expect(signal, stderr).toBe('SIGKILL')
  }
  const { transactions } = JSON.parse((await producer.ended).stdout) as { transactions: number }
  await expectAsInPeace(world, 'killed', transactions)
  return { transactions }
}

/**
 * Scores what `group` has not, then the whole log in peace as group `unharmed`: each transaction must have one prediction of
 * either, equal bit for bit, and the features of both must be what batch computes.
 */
export async function expectAsInPeace(world: World, group: string, transactions: number): Promise<void> {
  const groups = [group, 'unharmed']
  await Promise.all(groups.map((each) => world.fd('score', '--group', each, '--until-idle')))
  const [harmed, unharmed] = await Promise.all(groups.map((each) => world.predictions(each)))
  expect(harmed.length).toBe(transactions)
  expect(harmed.map((prediction) => ({ ...prediction, group: 'unharmed' }))).toEqual(unharmed)
  const parities = await Promise.all(groups.map((each) => world.fd('features', 'verify', '--group', each, '--json')))
  for (const parity of parities) {
    expect(JSON.parse(parity)).toMatchObject({ transactions, values: transactions * 15, differences: 0, duplicates: 0, missing: 0 })
  }
}

/**
 * Two scorers of one group, the second standing by: killed with −9 while the stream runs, the first is followed by the second,
 * and together they predict each transaction once.
 */
export async function expectTakeover(world: World, rate: number): Promise<{ seconds: number }> {
  const first = world.start('score', '--group', 'pair')
  await first.says('Scoring with')
  const second = world.start('score', '--group', 'pair', '--standby')
  await second.says('Standing by')
  const producer = world.start('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut, '--rate', String(rate), '--limit', String(rate * 6), '--json')
  await wait(2000)
  first.child.kill('SIGKILL')
  const killed = performance.now()
  await second.says('Scoring with')
  const seconds = (performance.now() - killed) / 1000
  const { transactions } = JSON.parse((await producer.ended).stdout) as { transactions: number }
  second.child.kill('SIGTERM')
  await second.ended
  await world.fd('score', '--group', 'pair', '--until-idle')
  const parity = JSON.parse(await world.fd('features', 'verify', '--group', 'pair', '--json')) as Record<string, number>
  expect(transactions).toBe(rate * 6)
  expect(parity).toMatchObject({ transactions, differences: 0, duplicates: 0, missing: 0 })
  return { seconds }
}
