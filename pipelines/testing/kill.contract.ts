import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { startStream } from './stream.contract.ts'
import type { World } from './world.ts'

/** Seeded, so that the moments can be tried again; what the machine does in them is its own. */
export function random(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) / 0x80000000
}

/**
 * Kills the scorer with −9 at random moments of a stream. Whatever the log and the store are, each transaction must have one
 * prediction, and its features must be what batch computes. In one partition, where the order is the stream's, the same log is
 * scored once more in peace as another group, and both must say the same bit for bit; in several, each group's stages
 * see the partitions in an order of their own.
 */
export async function expectNothingLostOrDoubled(
  world: World,
  options: { kills: number; rate: number; longestLifeMs: number },
): Promise<{ transactions: number }> {
  const next = random(7)
  const producer = world.start(
    'produce',
    '--dataset',
    'simulated',
    '--data',
    world.file,
    '--from',
    world.cut,
    '--rate',
    String(options.rate),
    '--json',
  )
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

async function expectParity(world: World, group: string, transactions: number): Promise<void> {
  const parity = JSON.parse(await world.fd('features', 'verify', '--group', group, '--json')) as Record<string, number>
  expect(parity).toMatchObject({ transactions, values: transactions * 15, differences: 0, duplicates: 0, missing: 0 })
}

/** The partitions of "transactions" that a scorer has, by what it said. */
function shareOf(stderr: string): Set<number> {
  const share = new Set<number>()
  for (const [, numbers, change] of stderr.matchAll(/^Partitions? ([\d, ]+) of transactions: (folding|gone)/gm)) {
    for (const number of numbers.split(', ')) {
      if (change === 'folding') share.add(Number(number))
      else share.delete(Number(number))
    }
  }
  return share
}

/**
 * Scores what `group` has not, and, where one partition makes the order of events one, the whole log in peace as group
 * `unharmed`: each transaction must have one prediction of either, equal bit for bit, and its features must be what
 * batch computes.
 */
export async function expectAsInPeace(world: World, group: string, transactions: number): Promise<void> {
  const groups = world.partitions > 1 ? [group] : [group, 'unharmed']
  await Promise.all(groups.map((each) => world.fd('score', '--group', each, '--until-idle')))
  const predictions = await world.predictions()
  const [harmed, unharmed = []] = groups.map((each) => predictions.filter((prediction) => prediction.group === each))
  expect(harmed.length).toBe(transactions)
  expect(new Set(harmed.map(({ transaction_id }) => transaction_id)).size).toBe(transactions)
  if (groups.length > 1) expect(harmed.map((prediction) => ({ ...prediction, group: 'unharmed' }))).toEqual(unharmed)
  // What was served is part of a prediction: parity of one group is parity of its equal.
  await expectParity(world, group, transactions)
}

/**
 * Two scorers of one group, the second started while the stream runs: it takes its share of the partitions, or stands by when
 * there is but one. Killed with −9, the first is followed by the second in all of them, and together they predict each
 * transaction once.
 *
 * @param rate transactions a second, so few that the live ones of this world last until then
 */
export async function expectTakeover(world: World, rate: number): Promise<{ seconds: number }> {
  const all = world.partitions
  const first = world.start('score', '--group', 'pair')
  await first.says((stderr) => shareOf(stderr).size === all && stderr.includes('Scoring with'))
  const stream = startStream(world, rate)
  const second = world.start('score', '--group', 'pair')
  await second.says(all === 1 ? 'Standing by' : (stderr) => shareOf(stderr).size > 0)
  await wait(2000)
  first.child.kill('SIGKILL')
  const killed = performance.now()
  await second.says((stderr) => shareOf(stderr).size === all)
  const seconds = (performance.now() - killed) / 1000
  // What follows the takeover is part of the stream.
  await wait(1000)
  const transactions = await stream.end()
  second.child.kill('SIGTERM')
  await second.ended
  await world.fd('score', '--group', 'pair', '--until-idle')
  await expectParity(world, 'pair', transactions)
  return { seconds }
}

/**
 * A scorer that is stopped for longer than its session, replaced in all its partitions, and goes on later: it must neither write
 * what the other has written, nor states under the other's fold, nor end. One that was stopped in a write transaction of the
 * embedded log keeps all writers out, so after `patienceMs` without a takeover it is stopped at another moment.
 *
 * @param rate as with `expectTakeover`
 */
export async function expectStoppedScorerHarmless(
  world: World,
  { rate, patienceMs }: { rate: number; patienceMs: number },
): Promise<void> {
  const all = world.partitions
  const stopped = world.start('score', '--group', 'stopped')
  await stopped.says((stderr) => shareOf(stderr).size === all && stderr.includes('Scoring with'))
  const stream = startStream(world, rate)
  const other = world.start('score', '--group', 'stopped')
  await other.says((stderr) => shareOf(stderr).size > 0)
  const takenOver = other.says((stderr) => shareOf(stderr).size === all).then(() => true)
  for (let replaced = false; !replaced;) {
    stopped.child.kill('SIGCONT')
    await wait(500)
    stopped.child.kill('SIGSTOP')
    replaced = await Promise.race([takenOver, wait(patienceMs, false)])
  }
  await wait(1000)
  stopped.child.kill('SIGCONT')
  // It hears that it has lost them, and is given its share again.
  await other.says((stderr) => shareOf(stderr).size < all)
  await wait(1000)
  const transactions = await stream.end()
  for (const scorer of [stopped, other]) {
    scorer.child.kill('SIGTERM')
    const { code, stderr } = await scorer.ended
    expect(code, stderr).toBe(0)
  }
  await world.fd('score', '--group', 'stopped', '--until-idle')
  await expectParity(world, 'stopped', transactions)
}
