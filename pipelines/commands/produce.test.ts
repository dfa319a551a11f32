import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ErrorDocument } from '../console/error-document.ts'
import { runFd, startFd } from '../console/fd-process.ts'
import { startedProcesses } from '../testing/started.ts'

/** Transactions of one instant, and of all. */
const AT_ONCE = 7
const ROWS = 2_800

let folder: string
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fd-produce-'))
  file = join(folder, 'card payments.csv')
  const columns = ['Time', ...Array.from({ length: 28 }, (_, i) => `V${i + 1}`), 'Amount', 'Class']
  const row = (i: number): string =>
    columns.map((name) => ({ Time: Math.floor(i / AT_ONCE), Class: i % 40 === 0 ? 1 : 0 })[name] ?? 1).join(',')
  await writeFile(file, `${[columns.join(','), ...Array.from({ length: ROWS }, (_, i) => row(i))].join('\n')}\n`)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The values of the topic, in order of the partitions and offsets. */
async function values(home: string): Promise<string[]> {
  const { stdout } = await runFd(home, ['topics', 'read', 'transactions'])
  const lines = stdout.trim().split('\n')
  return lines.map((line) => JSON.stringify((JSON.parse(line) as { value: unknown }).value))
}

test.each([
  ['SIGINT', 130, 'Ctrl-C'],
  ['SIGTERM', 143, 'SIGTERM'],
] as const)('a replay that %s cut short says where it stands, and goes on there', async (signal, code, shown) => {
  const [home, whole] = [join(folder, signal), join(folder, `whole-${signal}`)]
  const args = ['--dataset', 'kaggle-cc', '--data', file, '--limit', String(ROWS)]
  await using started = startedProcesses()
  // So slow that it cannot end before the signal comes, however busy the machine is.
  const cut = started.fd(home, ['produce', ...args, '--rate', '9', '--json'])
  await cut.says('produce ')
  cut.child.kill(signal)
  const ended = await cut.ended
  expect(ended.code).toBe(code)
  expect(ended.stderr).toContain(`Stopped by ${shown}. Every event before `)
  const { transactions, next, error } = JSON.parse(ended.stdout) as ErrorDocument & {
    transactions: number
    next: string
  }
  expect(transactions % AT_ONCE).toBe(0)
  expect(transactions).toBeLessThan(ROWS)
  const left = String(ROWS - transactions)
  expect(error).toMatchObject({
    code,
    next: `fd produce --dataset kaggle-cc --data '${file}' --from ${next} --limit ${left} --rate 9`,
  })
  const rest = ['--from', next, '--limit', left]
  const again = await runFd(home, ['produce', ...args.slice(0, 4), ...rest])
  expect(again.stdout).toMatch(/\n\nNext: fd score --until-idle\n$/)
  await runFd(whole, ['produce', ...args])
  const expected = await values(whole)
  expect(expected.length).toBeGreaterThanOrEqual(ROWS)
  expect(await values(home)).toEqual(expected)
})

test('a replay that a bad row ends says what is in the log, and what sends the rest of the mended file', async () => {
  // More than are read at once, so that what comes before the bad row is sent.
  const [rows, bad] = [17_000, 16_900]
  const home = join(folder, 'bad-row')
  await mkdir(home)
  const yamls = { FD_DATASET_FOLDER: home }
  const schema = 'time: { column: t, unit: s }, amount: { column: a, minorUnits: 0 }, id: { column: n, type: integer }'
  await writeFile(join(home, 'shop.yaml'), `service: attributes\nschema: { ${schema} }\n`)
  const table = join(home, 'shop.csv')
  const write = async (amount: string): Promise<void> => {
    const line = (n: number): string => `${n},${Math.floor(n / AT_ONCE)},${n === bad ? amount : 1}`
    await writeFile(table, `n,t,a\n${Array.from({ length: rows }, (_, n) => line(n)).join('\n')}\n`)
  }
  await write('one')
  const args = ['produce', '--dataset', 'shop', '--data', table, '--limit', String(rows)]
  const failed = await startFd(home, args, yamls).ended
  expect(failed.code).toBe(2)
  expect(failed.stderr).toMatch(/line 16902, column a: "one" is not an amount/)
  const sent = (await values(home)).length
  expect(sent).toBeGreaterThan(0)
  expect(failed.stderr).toContain(
    `${sent.toLocaleString('en')} transactions and 0 fraud labels are in the log already.`,
  )
  const [, rest] = /: fd (produce .*)\n/.exec(failed.stderr) ?? []
  await write('1')
  const words = rest.split(' ').map((word) => word.replaceAll("'", ''))
  expect(
    (
      await startFd(
        home,
        words.map((word) => (word.includes('shop.csv') ? table : word)),
        yamls,
      ).ended
    ).code,
  ).toBe(0)
  const ids = (await values(home)).map((value) => (JSON.parse(value) as { n: number }).n)
  // Of the last instant that was sent, all transactions are sent again.
  const again = sent % AT_ONCE
  expect(again).toBeGreaterThan(0)
  expect(ids).toEqual([
    ...Array(sent).keys(),
    ...Array.from({ length: rows - sent + again }, (_, i) => sent - again + i),
  ])
})
