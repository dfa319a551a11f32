import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { FRAUD_KNOWN_AT } from '../../datasets/table/dataset.ts'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { isRunning, whileAlive } from '../console/fd-process.ts'
import { startProducer, startStream } from './stream.contract.ts'
import type { World } from './world.ts'

/** Seeded, so that a run can repeat the moments, though not what the machine does in them. */
export function random(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) / 0x80000000
}

/**
 * Kills the scorer with −9 at random moments of a stream. On every log and store, each transaction must have one
 * prediction, and its features must be what batch computes.
 *
 * With one partition there is one order of events. There the same log is scored once more without disturbance, as
 * another group, and both groups must agree bit for bit. With several partitions the groups cannot be compared, because
 * the stages of each see the partitions in an order of their own.
 */
export async function expectNothingLostOrDoubled(
  world: World,
  options: { kills: number; rate: number; longestLifeMs: number },
): Promise<{ transactions: number }> {
  const next = random(7)
  const producer = startProducer(world, options.rate)
  for (let kills = 0; kills < options.kills || isRunning(producer.child); kills++) {
    const scorer = world.start('score', '--group', 'killed')
    await scorer.says('Scoring with')
    await wait(next() * options.longestLifeMs)
    scorer.child.kill('SIGKILL')
    const { signal, stderr } = await scorer.ended
    // If it ended by itself, the failure shows its stderr.
    expect(signal, stderr).toBe('SIGKILL')
  }
  const { code, stdout, stderr } = await producer.ended
  expect(code, stderr).toBe(0)
  const { transactions } = JSON.parse(stdout) as { transactions: number }
  await expectAsInPeace(world, 'killed', transactions)
  return { transactions }
}

/** The features of each transaction must be what batch computes, in exactly one prediction. */
async function expectParity(world: World, group: string, transactions: number): Promise<void> {
  const parity = JSON.parse(await world.fd('features', 'verify', '--group', group, '--json')) as Record<string, number>
  const values = transactions * world.features
  expect(parity).toMatchObject({ transactions, values, differences: 0, duplicates: 0, missing: 0 })
}

/**
 * The transactions of the log that have not exactly one of these predictions of a group, each with where it stands, how
 * many it has, and the reason of its dead letter. A failure is rare, and its home is gone afterwards.
 */
async function astray(world: World, group: string, predictions: readonly Prediction[]): Promise<string[]> {
  const counts = Map.groupBy(predictions, ({ transaction_id }) => String(transaction_id))
  const records = (await recordsOf<{ TRANSACTION_ID: number }>(world, 'transactions')).filter(
    ({ value }) => !(FRAUD_KNOWN_AT in value) && counts.get(String(value.TRANSACTION_ID))?.length !== 1,
  )
  if (records.length === 0) return []
  const letters = await recordsOf<DeadLetter>(world, `transactions.dlq.${group}`)
  return records.map(({ partition, offset, value }) => {
    const letter = letters.find(({ value: { input } }) => input.partition === partition && input.offset === offset)
    const id = value.TRANSACTION_ID
    const count = counts.get(String(id))?.length ?? 0
    return `${id} at ${partition}:${offset}: ${count} predictions, ${letter?.value.reason ?? 'no dead letter'}`
  })
}

interface Read<Value> {
  partition: number
  offset: number
  value: Value
}

async function recordsOf<Value>(world: World, topic: string): Promise<Read<Value>[]> {
  const { code, stdout } = await world.try('topics', 'read', topic)
  // A topic that nobody has written to yet is not there.
  return code !== 0 ? [] : stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Read<Value>]))
}

/** The partitions of "transactions" that a scorer has, according to its stderr. */
function shareOf(stderr: string): Set<number> {
  const share = new Set<number>()
  for (const [, numbers, change] of stderr.matchAll(
    /^\S+ {2}Partitions? ([\d, ]+) of transactions: (folding|gone)/gm,
  )) {
    for (const number of numbers.split(', ')) {
      if (change === 'folding') share.add(Number(number))
      else share.delete(Number(number))
    }
  }
  return share
}

/**
 * Scores what `group` has not scored yet. Then each transaction must have one prediction of it, and its features must
 * be what batch computes. With one partition the whole log is also scored without disturbance, as group `unharmed`, and
 * the predictions of both groups must be equal bit for bit.
 */
export async function expectAsInPeace(world: World, group: string, transactions: number): Promise<void> {
  const groups = world.partitions > 1 ? [group] : [group, 'unharmed']
  await Promise.all(groups.map((each) => world.fd('score', '--group', each, '--until-idle')))
  const predictions = await world.predictions()
  const [harmed, unharmed = []] = groups.map((each) => predictions.filter((prediction) => prediction.group === each))
  expect(await astray(world, group, harmed)).toEqual([])
  expect(harmed.length).toBe(transactions)
  if (groups.length > 1) expect(harmed.map((prediction) => ({ ...prediction, group: 'unharmed' }))).toEqual(unharmed)
  // A prediction contains the features that were served. So the parity of one group is also that of its equal.
  await expectParity(world, group, transactions)
}

/**
 * Two scorers of one group. The second is started while the stream runs: it takes its share of the partitions, or
 * stands by when there is only one. Then the first is killed with −9. The second must take over all its partitions,
 * and together they must predict each transaction once.
 *
 * @param rate transactions a second, so few that the live ones of this world last until then.
 */
export async function expectTakeover(world: World, rate: number): Promise<void> {
  const all = world.partitions
  const first = world.start('score', '--group', 'pair')
  await first.says((stderr) => shareOf(stderr).size === all && stderr.includes('Scoring with'))
  const stream = startStream(world, rate)
  const second = world.start('score', '--group', 'pair')
  await second.says(all === 1 ? 'Standing by' : (stderr) => shareOf(stderr).size > 0)
  await wait(2000)
  first.child.kill('SIGKILL')
  await whileAlive(
    second.says((stderr) => shareOf(stderr).size === all),
    second,
  )
  // Let some of the stream pass after the takeover, too.
  await wait(1000)
  const transactions = await stream.end()
  second.child.kill('SIGTERM')
  await second.ended
  await world.fd('score', '--group', 'pair', '--until-idle')
  await expectParity(world, 'pair', transactions)
}

/**
 * A scorer is stopped (SIGSTOP) for longer than its session, replaced in all its partitions, and goes on later. It must
 * neither write what the other has written, nor put states under the other's fold, nor end.
 *
 * A scorer that is stopped inside a write transaction of the embedded log keeps all writers out. So after `patienceMs`
 * without a takeover it is stopped again at another moment.
 *
 * @param rate as with `expectTakeover`.
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
  const both = [stopped, other]
  await whileAlive(
    other.says((stderr) => shareOf(stderr).size > 0),
    ...both,
  )
  const takenOver = whileAlive(
    other.says((stderr) => shareOf(stderr).size === all).then(() => true),
    ...both,
  )
  // Whoever waits for it hears of a failure; between two waits nobody does.
  takenOver.catch(() => undefined)
  for (let replaced = false; !replaced;) {
    stopped.child.kill('SIGCONT')
    await wait(500)
    stopped.child.kill('SIGSTOP')
    replaced = await Promise.race([takenOver, wait(patienceMs, false)])
  }
  await wait(1000)
  stopped.child.kill('SIGCONT')
  // It learns that it has lost its partitions, and is given its share again.
  await whileAlive(
    other.says((stderr) => shareOf(stderr).size < all),
    ...both,
  )
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
