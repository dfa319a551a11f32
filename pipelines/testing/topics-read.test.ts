import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEventLog } from '../../datasets/open.ts'
import { runFd, whileAlive } from '../console/fd-process.ts'
import { startedProcesses } from './started.ts'

const home = mkdtempSync(join(tmpdir(), 'fd-topics-read-'))
afterAll(() => rmSync(home, { recursive: true }))

const NOON = Date.UTC(2018, 3, 1, 12)
const HOSTILE = '\u001b[2J\u009b31m'

beforeAll(async () => {
  await using log = await openEventLog(`lmdb:${join(home, 'log')}`)
  await log.createTopic('t', { partitions: 2 })
  // Offsets 0 to 5 of each partition, a minute apart; every second one is about transaction 1.
  const records = [0, 1].flatMap((partition) =>
    Array.from({ length: 6 }, (_, i) => ({
      key: `k${i % 3}`,
      value: JSON.stringify({ transaction_id: i % 2, text: HOSTILE }),
      timestamp: NOON + i * 60_000,
      partition,
    })),
  )
  await log.append('t', records)
})

/** Partition and offset of what is printed. */
async function read(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runFd(home, ['topics', 'read', 't', ...args])
  expect(code, stderr).toBe(0)
  expect(['\u001b', '\u009b'].filter((control) => stdout.includes(control))).toEqual([])
  const lines = stdout.split('\n').filter((line) => line !== '')
  return lines
    .map((line) => JSON.parse(line) as { partition: number; offset: number })
    .map(({ partition, offset }) => `${partition}:${offset}`)
    .join(' ')
}

test.each<[string[], string]>([
  [['--since', '2018-04-01T12:04:00Z'], '0:4 0:5 1:4 1:5'],
  [['--since', '2018-04-01T12:04:00Z', '--from', '5'], '0:5 1:5'],
  [['--since', '2018-04-02'], ''],
  [['--key', 'k2'], '0:2 0:5 1:2 1:5'],
  [['--key', 'k2', '--since', '2018-04-01 12:03'], '0:5 1:5'],
  [['--transaction', '1', '--limit', '4'], '0:1 0:3 0:5 1:1'],
  [['--transaction', '1', '--key', 'k0', '--json'], '0:3 1:3'],
  [['--transaction', '1', '--key', 'k0', '--follow', '--limit', '2'], '0:3 1:3'],
])('fd topics read %j', async (args, found) => {
  expect(await read(...args)).toBe(found)
})

test('what is there is followed from partition to partition, in the order of offsets; then what comes', async () => {
  await using log = await openEventLog(`lmdb:${join(home, 'log')}`)
  await log.createTopic('long', { partitions: 2 })
  const each = 3_000
  const append = (partition: number, count: number): Promise<void> =>
    log.append(
      'long',
      Array.from({ length: count }, (_, i) => ({ value: String(i), timestamp: NOON, partition })),
    )
  for (const partition of [1, 0]) await append(partition, each)
  await using started = startedProcesses()
  const reader = started.fd(home, ['topics', 'read', 'long', '--follow', '--limit', String(2 * each + 2)])
  let shown = 0
  const all = Promise.withResolvers<void>()
  reader.child.stdout?.on('data', (text: string) => {
    shown += text.split('\n').length - 1
    if (shown >= 2 * each) all.resolve()
  })
  await whileAlive(all.promise, reader)
  expect(shown).toBe(2 * each)
  for (const partition of [1, 0]) await append(partition, 1)
  const { code, stdout } = await reader.ended
  expect(code).toBe(0)
  const places = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { partition: number; offset: number })
  const old = places.slice(0, 2 * each).map(({ partition, offset }) => partition * each + offset)
  expect(old).toEqual(Array.from({ length: 2 * each }, (_, i) => i))
  const late = places.slice(2 * each).map(({ partition, offset }) => `${partition}:${offset}`)
  expect(late.toSorted()).toEqual([`0:${each}`, `1:${each}`])
})

test('a time that is none is the user’s error', async () => {
  const { code, stderr } = await runFd(home, ['topics', 'read', 't', '--since', 'yesterday'])
  expect([code, stderr]).toEqual([2, expect.stringContaining('Expected a date such as 2018-07-25')])
})
