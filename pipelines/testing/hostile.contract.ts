import { expect } from 'vitest'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import { randomStream } from '../../datasets/random/random.ts'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { hostileRecords, ODD_TIMESTAMPS, STRANGERS } from '../../serving/testing/hostile-records.ts'
import type { World } from './world.ts'

/**
 * Events of the keys of a good record, from so far ahead that all later ones of these keys would be late: dated just so
 * far as each of their odd timestamps would allow, or further.
 */
function spoilers({ value }: NewRecord): NewRecord[] {
  const good = JSON.parse(String(value)) as Record<string, unknown>
  return ODD_TIMESTAMPS.flatMap((timestamp, n) =>
    [Date.UTC(2100, 0), Date.UTC(2998, 0)].map((time, m) => {
      const event = { ...good, TRANSACTION_ID: 2 * STRANGERS + 2 * n + m, TX_DATETIME: time }
      return { value: JSON.stringify(event), timestamp, partition: 0 }
    }),
  )
}

/**
 * The transactions of `quiet`'s log, among `count` hostile records, on the log of `hostile`: the scorer ends by itself,
 * each record is scored, a label or a dead letter, once, and the transactions are scored to the same bits as alone.
 */
export async function expectHostileHarmless(quiet: World, hostile: World, url: string, count: number): Promise<void> {
  const good = await goodRecords(quiet)
  const ahead = spoilers(good[0])
  const sent = count + good.length + ahead.length
  await quiet.fd('score', '--group', 'quiet', '--until-idle')
  const alone = await quiet.predictions('quiet')
  const bad = hostileRecords(11, count, Date.UTC(2018, 5, 1))
  const random = randomStream(5)
  {
    await using log = await openEventLog(url)
    await log.createTopic('transactions', { partitions: 1 })
    await log.append('transactions', ahead)
    let next = 0
    while (next < bad.length || good.length > 0) {
      const end = next + random.integer(200)
      const some = good.splice(0, random.integer(40))
      await log.append('transactions', [...bad.slice(next, end), ...some])
      next = end
    }
  }
  const { code, stdout, stderr } = await hostile.try('score', '--group', 'hostile', '--until-idle', '--json')
  expect(code, stderr).toBe(0)
  const { labels } = JSON.parse(stdout) as { labels: number }
  const scored = await hostile.predictions('hostile')
  const letters = await deadLetters(hostile)
  // Labels give no record; a few of the hostile records are valid ones.
  const told = [...scored, ...letters].map(({ input }) => input.offset)
  expect(new Set(told).size).toBe(told.length)
  expect(told.length + labels).toBe(sent)
  expect(letters.length).toBeGreaterThan(count / 2)
  const first = letters.filter(({ input }) => input.offset < ahead.length)
  expect(first.map(({ reason }) => reason)).toEqual(ahead.map(() => expect.stringMatching(/^TX_DATETIME: .*[aA]head/)))
  const known = scored.filter(({ transaction_id: id }) => Number(id) < STRANGERS)
  expect(known.map(outcome)).toEqual(alone.map(outcome))
  await hostile.fd('features', 'verify', '--group', 'hostile')
}

/** What a prediction says of its transaction, without its place in the log. */
function outcome({ transaction_id: id, score, decision, features }: Prediction): unknown {
  return { id, score, decision, features }
}

async function goodRecords(world: World): Promise<NewRecord[]> {
  const lines = (await world.fd('topics', 'read', 'transactions')).trim().split('\n')
  return lines.map((line) => {
    const { key, timestamp, value } = JSON.parse(line) as { key: string; timestamp: number; value: unknown }
    return { key, timestamp, value: JSON.stringify(value), partition: 0 }
  })
}

async function deadLetters(world: World): Promise<DeadLetter[]> {
  const lines = (await world.fd('topics', 'read', 'transactions.dlq.hostile')).trim().split('\n')
  return lines.map((line) => (JSON.parse(line) as { value: DeadLetter }).value)
}
