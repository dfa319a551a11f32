import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ErrorDocument } from '../console/error-document.ts'
import { runFd } from '../console/fd-process.ts'
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
  const cut = started.fd(home, ['produce', ...args, '--rate', '900', '--json'])
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
    next: `fd produce --dataset kaggle-cc --data '${file}' --from ${next} --limit ${left} --rate 900`,
  })
  const rest = ['--from', next, '--limit', left]
  const again = await runFd(home, ['produce', ...args.slice(0, 4), ...rest])
  expect(again.stdout).toMatch(/\n\nNext: fd score --until-idle\n$/)
  await runFd(whole, ['produce', ...args])
  const expected = await values(whole)
  expect(expected.length).toBeGreaterThanOrEqual(ROWS)
  expect(await values(home)).toEqual(expected)
})
