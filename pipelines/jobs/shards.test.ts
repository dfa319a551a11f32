import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openOnlineStore } from '../../features/open.ts'
import type { Base } from '../../features/store/online-store.ts'
import { runFd } from '../console/fd-process.ts'
import { startedProcesses } from '../testing/started.ts'

const CUSTOMERS = 1500
const TERMINALS = 1000
let folder: string
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-sharded-'))
  file = join(folder, 'transactions.parquet')
  const made = await runFd(folder, [
    'datasets',
    'simulate',
    '--customers',
    String(CUSTOMERS),
    '--terminals',
    String(TERMINALS),
    '--days',
    '70',
    '--seed',
    '3',
    '--out',
    file,
  ])
  if (made.code !== 0) throw new Error(made.stderr)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const backfill = (out: string, ...more: string[]): string[] => [
  'features',
  'backfill',
  '--dataset',
  'simulated',
  '--data',
  file,
  '--until',
  '2018-06-01',
  '--online',
  '--out',
  out,
  '--json',
  ...more,
]

/** The base of the store in a home (version, watermark, history), and the bytes of every key's state. */
async function contents(
  home: string,
): Promise<{ base: Base; customers: (string | undefined)[]; terminals: (string | undefined)[] }> {
  await using store = await openOnlineStore(`lmdb:${join(home, 'online')}`)
  const { base, read } = await store.group('card-fraud', { group: 'nobody', topic: 'transactions', partition: 0 })
  const all = async (view: string, keys: number): Promise<(string | undefined)[]> =>
    (
      await read(
        view,
        Array.from({ length: keys }, (_, key) => key),
      )
    ).map((bytes) => (bytes === undefined ? undefined : Buffer.from(bytes).toString('hex')))
  return {
    base,
    customers: await all('customer_spending', CUSTOMERS),
    terminals: await all('terminal_risk', TERMINALS),
  }
}

test(
  'fd features backfill --shards gives the file and the store of one without, to the byte, ' +
    'though a worker is killed in the middle',
  { timeout: 180_000 },
  async () => {
    const [alone, sharded] = [join(folder, 'alone'), join(folder, 'sharded')]
    const [one, two] = [join(folder, 'one.parquet'), join(folder, 'two.parquet')]
    const whole = await runFd(alone, backfill(one))
    expect(whole.code, whole.stderr).toBe(0)

    await using started = startedProcesses()
    const fd = started.fd(sharded, backfill(two, '--shards', '3', '--workers', '2'))
    const shards = join(sharded, 'shards')
    const begun = (): boolean =>
      existsSync(shards) && readdirSync(shards).some((name) => readdirSync(join(shards, name)).length > 0)
    while (!begun()) await sleep(5)
    const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
      .split('\n')
      .map((row) => row.trim().split(/\s+/))
    const [victim] = rows
      .filter(([, parent, ...args]) => Number(parent) === fd.child.pid && args.includes('job-process'))
      .map(([pid]) => Number(pid))
    process.kill(victim, 'SIGKILL')
    const ended = await fd.ended
    expect(ended.code, ended.stderr).toBe(0)
    expect(ended.stderr).toMatch(/failed and will be tried again: its process ended with SIGKILL/)

    const { seconds: _, out: __, ...report } = JSON.parse(whole.stdout) as Record<string, unknown>
    expect(JSON.parse(ended.stdout)).toMatchObject(report)
    expect(readFileSync(two).equals(readFileSync(one))).toBe(true)
    const expected = await contents(alone)
    for (const states of [expected.customers, expected.terminals])
      expect(states.filter((state) => state !== undefined).length).toBeGreaterThan(900)
    expect(await contents(sharded)).toEqual(expected)
    expect(readdirSync(shards)).toEqual([])
  },
)

test(
  'a shard that cannot be folded ends the command with its reason, and nothing is written',
  { timeout: 180_000 },
  async () => {
    const home = join(folder, 'refused')
    const out = join(folder, 'refused.parquet')
    const bad = join(folder, 'bad.csv')
    await writeFile(
      bad,
      'TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n' +
        '1,2018-04-02 00:00:00,1,1,5.00,0\n' +
        '2,2018-04-01 00:00:01,1,1,5.00,0\n',
    )
    const ended = await runFd(home, [
      'features',
      'backfill',
      '--dataset',
      'handbook',
      '--data',
      bad,
      '--out',
      out,
      '--online',
      '--shards',
      '2',
    ])
    expect(ended.stderr).toMatch(/line 3, column TX_DATETIME: time goes back.*\nAdd --sort/)
    expect(ended.stderr).not.toMatch(/^ {4}at /m)
    expect([ended.code, ended.stdout]).toEqual([2, ''])
    expect(existsSync(out)).toBe(false)
    expect(readdirSync(join(home, 'shards'))).toEqual([])
    expect(existsSync(join(home, 'online'))).toBe(false)
  },
)
