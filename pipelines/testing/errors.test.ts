import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ErrorDocument } from '../console/error-document.ts'
import { runFd, type Ended } from '../console/fd-process.ts'
import { makeWorld, type World } from './world.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-errors-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const HEADER = ['Time', ...Array.from({ length: 28 }, (_, i) => `V${i + 1}`), 'Amount', 'Class']
const row = (change: Record<string, string | number>): string =>
  HEADER.map((name) => change[name] ?? (name === 'Class' ? '"0"' : 1)).join(',')

/** Writes a file with Kaggle's columns and the given rows. */
async function kaggleFile(name: string, rows: string[], header = HEADER): Promise<string> {
  const file = join(folder, name)
  await writeFile(file, `${[header.map((column) => `"${column}"`).join(','), ...rows].join('\n')}\n`)
  return file
}

/**
 * Wrong input ends with code 2. Stderr says what was wrong and what to type next, without a stack; stdout stays empty.
 */
function expectRefusal(ended: Ended, reason: RegExp): void {
  expect(ended.stderr).toMatch(reason)
  expect(ended.stderr).not.toMatch(/^ {4}at /m)
  expect(ended.stdout).toBe('')
  expect(ended.code).toBe(2)
}

describe('files', () => {
  test.each<[string, string[], RegExp]>([
    ['text in a number', [row({}), row({ V3: 'abc' })], /line 3, column V3: "abc" is not a number.*\n/],
    ['a label that is none', [row({ Class: 2 })], /line 2, column Class: "2"/],
    [
      'a label NaN',
      [row({}), row({ Class: 'NaN' })],
      /line 3, column Class: "NaN" is not a label: 0, false, no \(genuine\) or 1, true, yes \(fraud\)/,
    ],
    ['no label known', [row({ Class: '' }), row({ Class: '' })], /No transaction of .* has a label/],
    ['time that goes back', [row({ Time: 5 }), row({ Time: 4 })], /line 3, column Time: time goes back.*\nAdd --sort/],
    ['no rows', [], /has columns but no rows/],
    ['one class', [row({}), row({ Time: 2 }), row({ Time: 3 }), row({ Time: 4 })], /has no fraud among/],
  ])('%s', async (name, rows, reason) => {
    const file = await kaggleFile(`${name.replaceAll(' ', '-')}.csv`, rows)
    expectRefusal(await runFd(folder, ['train', '--dataset', 'kaggle-cc', '--data', file]), reason)
  })

  test('a column missing', async () => {
    const file = await kaggleFile('columns.csv', [], HEADER.slice(0, 20))
    expectRefusal(
      await runFd(folder, ['train', '--dataset', 'kaggle-cc', '--data', file]),
      /has no column Amount, Class.*It has: Time, V1/,
    )
  })

  test('a filter that leaves no row', async () => {
    const file = await kaggleFile('known-later.csv', [row({}), row({ Class: 1 }), row({}), row({ Class: 1 })])
    const ended = await runFd(folder, ['train', '--dataset', 'kaggle-cc', '--data', file, '--until', '2000-01-01'])
    expectRefusal(
      ended,
      new RegExp(
        String.raw`No transaction of .*known-later\.csv has a label that was known by 2000-01-01 00:00:00, ` +
          String.raw`so there is nothing to train on\. Give a later instant: --until DATE`,
      ),
    )
  })

  test('duplicate ids', async () => {
    const file = join(folder, 'ids.csv')
    const header = 'TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD'
    const rows = ['1,2018-04-01 00:00:00,1,1,5.00,0', '1,2018-04-01 00:00:01,1,1,5.00,0']
    await writeFile(file, [header, ...rows, ''].join('\n'))
    expectRefusal(
      await runFd(folder, ['train', '--dataset', 'handbook', '--data', file]),
      /line 3, column TRANSACTION_ID: .*1.*(twice|already|again|duplicate)/i,
    )
  })

  test('no file, and bytes that are no Parquet', async () => {
    expectRefusal(
      await runFd(folder, ['train', '--dataset', 'kaggle-cc', '--data', join(folder, 'none.csv')]),
      /There is no file .*none\.csv/,
    )
    const [junk, out] = [join(folder, 'junk.parquet'), join(folder, 'x.parquet')]
    await writeFile(junk, 'hello')
    expectRefusal(
      await runFd(folder, ['features', 'backfill', '--dataset', 'handbook', '--data', junk, '--out', out]),
      /junk\.parquet has no column .*\nBy its bytes it is no Parquet, so it was read as CSV/,
    )
  })
})

test.each<[string[], RegExp]>([
  [
    ['train', '--dataset', 'kaggle-cc'],
    /1\. give the file.*\n.*2\. set its path.*\n.*3\. download it.*\n.*kaggle-cc-synthetic/,
  ],
  [['train', '--dataset', 'nope'], /There is no dataset "nope"\. There are: kaggle-cc/],
  [['train'], /required option '--dataset <name>'[^]*--help/],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--model', 'svm'],
    /No estimator "svm"\. Use --model boosting or --model forest/,
  ],
  [['train', '--dataset', 'kaggle-cc-synthetic', '--param', 'foo=1'], /has no parameter "foo"\. It has: rounds=/],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--param', 'max_depth=99'],
    /max_depth=99 is no whole number from 0 to 32/,
  ],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--param', 'monotone.v99=1'],
    /monotone\.v99=1 names no feature\. The features are: V1, V2/,
  ],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--param', 'monotone.v99=1', '--seeds', '2'],
    /monotone\.v99=1 names no feature\. The features are: V1, V2/,
  ],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--param', 'rounds'],
    /argument 'rounds' is invalid\. Expected NAME=VALUE/,
  ],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--seed', '1e99'],
    /Expected a whole number, at most 9007199254740991/,
  ],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--register', 'a/b'],
    /Model name "a\/b" must have.*Use for example: card-fraud/,
  ],
  [['train', '--dataset', 'kaggle-cc-synthetic', '--calibration-share', '0.3'], /Add: --calibrate isotonic/],
  [['train', '--dataset', 'kaggle-cc-synthetic', '--calibrate', 'sigmoid'], /Allowed choices are isotonic, platt/],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--importance', 'some'],
    /argument 'some' is invalid\. Expected a whole number, 1 or more/,
  ],
  [['train', '--dataset', 'kaggle-cc-synthetic', '--workers', 'abc'], /--workers.*"?'?abc.*whole number/],
  [
    ['train', '--dataset', 'kaggle-cc-synthetic', '--workers', '0'],
    /--workers 0 leaves the jobs to others.*local.*FD_JOB_QUEUE=redis/,
  ],
  [['train', '--dataset', 'kaggle-cc-synthetic', '--model', 'boosting,svm'], /No estimator "svm"/],
  [['train', '--dataset', 'kaggle-cc-synthetic', '--seeds', '0'], /whole number, 1 or more/],
  [['features', 'backfill', '--dataset', 'simulated', '--online', '--shards', '0'], /whole number, 1 or more/],
  [
    ['features', 'backfill', '--dataset', 'simulated', '--online', '--workers', '2'],
    /--workers is for a backfill in shards\. Add: --shards N/,
  ],
  [['worker'], /job queue is local.*FD_JOB_QUEUE=redis:\/\/HOST:PORT fd worker/],
  [['worker', '--concurrency', '0'], /whole number, 1 or more/],
  [['job-process'], /started by a worker\. Run: fd worker/],
  [['features', 'get', '--service', 'x', '--entity', 'customer=1'], /No feature service "x"\. There are: card-fraud/],
  [
    ['features', 'get', '--service', 'card-fraud', '--entity', 'customer=1'],
    /has no customer 1 .*fd features backfill/,
  ],
  [
    ['features', 'get', '--service', 'card-fraud', '--entity', 'customer'],
    /"customer" is not ENTITY=KEY\. For example: --entity customer=42/,
  ],
  [['features', 'get', '--service', 'card-fraud', '--entity', 'customer='], /"customer=" is not ENTITY=KEY/],
  [['features', 'verify', '--from', 'x'], /argument 'x' is invalid\. Expected a whole number, 0 or more/],
  [['archive', '--topic', 'nothing'], /No topic "nothing"\. There is none yet; fill one with: fd produce/],
  [['archive', '--records', '0'], /whole number, 1 or more/],
  [['features', 'backfill', '--dataset', 'simulated'], /--out FILE\.parquet, --online/],
  [['models', 'describe', 'card-fraud@champion'], /No registered model "card-fraud".*fd train/],
  [['models', 'promote', 'card-fraud', 'one'], /"one" is no version, which is a whole number from 1/],
  [['models', 'promote', 'card-fraud', '1', '--margin', 'some'], /Expected a number from 0 to 1/],
  [['score'], /No registered model yet\. Run: fd train/],
  [['topics', 'read', 'nothing'], /No topic "nothing"/],
  [['topics', 'read', ''], /No topic ""/],
  [['datasets', 'fetch', 'kaggle-cc'], /KAGGLE_USERNAME and KAGGLE_KEY/],
  [['produce', '--dataset', 'simulated', '--rate', '-1'], /Expected a number above 0/],
  [['topics', 'list', '--config', 'none.yaml'], /No configuration file at none\.yaml/],
  [['demo', '--rate', '0'], /--rate.*whole number, 1 or more/],
  [['demo', '--days', '10'], /10 days leave too little history for 20 live days: give --days at least 50/],
  [['nonsense'], /unknown command 'nonsense'/],
])('fd %j, with --json also as a document', async (args, reason) => {
  const ended = await runFd(join(folder, 'empty'), [...args, '--json'])
  const { error } = JSON.parse(ended.stdout) as ErrorDocument
  expectRefusal({ ...ended, stdout: '' }, reason)
  expect(ended.stderr).toContain(error.message)
  expect(error.code).toBe(2)
})

test('a command without a subcommand, and help, which is no error', async () => {
  const none = await runFd(join(folder, 'empty'), ['models', '--json'])
  expect(JSON.parse(none.stdout)).toEqual({
    error: { message: 'fd models needs a command.', code: 2, next: 'fd models --help' },
  })
  expect(none.code).toBe(2)
  const help = await runFd(join(folder, 'empty'), ['models', 'list', '--json', '--help'])
  expect(help).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Usage: fd models list/) })
})

test.each([['log/shared/data.mdb'], ['online/data.mdb'], ['registry/registry.db']])(
  'a damaged %s is named by doctor, with what to do, and exit 1',
  async (file) => {
    const home = join(folder, `damaged-${file.split('/')[0]}`)
    await mkdir(join(home, file, '..'), { recursive: true })
    await writeFile(join(home, file), Buffer.alloc(40_000, 'garbage'))
    const ended = await runFd(home, ['doctor'])
    expect(ended.code).toBe(1)
    expect(ended.stdout).toContain(file)
    expect(ended.stderr).not.toMatch(/^ {4}at /m)
  },
)

/** Only root on Linux can mount a small disk. Elsewhere no disk can be made to fill up. */
function canMount(): boolean {
  try {
    const probe = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim()
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe], { stdio: 'ignore' })
    execFileSync('umount', [probe])
    return true
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

describe.runIf(canMount())('a disk that fills up', () => {
  let world: World
  let disk: string
  beforeAll(async () => {
    world = await makeWorld({ customers: 100, terminals: 200, days: 80, liveDays: 30 })
    disk = join(folder, 'disk')
    await mkdir(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk])
  })
  afterAll(async () => {
    execFileSync('umount', ['-l', disk])
    await world[Symbol.asyncDispose]()
  })

  test('the scorer stops with the reason; with space again it goes on, and nothing is lost or doubled', async () => {
    const log = { FD_EVENT_LOG: `lmdb:${disk}` }
    const produced = await runFd(
      world.home,
      ['produce', '--json', '--dataset', 'simulated', '--data', world.file, '--from', world.cut],
      log,
    )
    expect(produced.code).toBe(0)
    const { transactions } = JSON.parse(produced.stdout) as { transactions: number }
    const full = await runFd(world.home, ['score', '--until-idle'], log)
    expect(full.stderr).toMatch(/disk is full: .*Free some space/)
    expect(full.stderr).not.toMatch(/^ {4}at /m)
    expect(full.code).toBe(2)

    execFileSync('mount', ['-o', 'remount,size=200m', disk])
    expect((await runFd(world.home, ['score', '--until-idle'], log)).code).toBe(0)
    const verified = await runFd(world.home, ['features', 'verify', '--json'], log)
    expect(JSON.parse(verified.stdout)).toMatchObject({ transactions, differences: 0, duplicates: 0, missing: 0 })
  })
})
