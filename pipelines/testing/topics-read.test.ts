import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEventLog } from '../../datasets/open.ts'
import { runFd } from '../console/fd-process.ts'

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

test('a time that is none is the user’s error', async () => {
  const { code, stderr } = await runFd(home, ['topics', 'read', 't', '--since', 'yesterday'])
  expect([code, stderr]).toEqual([2, expect.stringContaining('Expected a date such as 2018-07-25')])
})
