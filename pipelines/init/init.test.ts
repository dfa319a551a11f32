import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { lookAt } from '../../datasets/guess/look.ts'
import { startProgram } from '../console/fd-process.ts'
import { askRoles } from './ask.ts'

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'fd-init-')))
const MINUTE = 60_000
const START = Date.UTC(2024, 0, 1)

/** 40 days of payments of 30 cards at 12 shops, with odd names and columns of all kinds. */
const ROWS = 1920
const CSV = [
  `payment id,paid at,card,shop,amt,the "kind",x-1,fraud`,
  ...Array.from({ length: ROWS }, (_, i) =>
    [
      `p${i}`,
      new Date(START + i * 30 * MINUTE).toISOString(),
      `c${(i * 7) % 30}`,
      `s${(i * 5) % 23}`,
      ((i * 37) % 10_000) / 100,
      i % 4 === 0 ? 'on,line' : 'store',
      i % 9,
      i % 25 === 0 ? 1 : 0,
    ]
      .map((cell) => (String(cell).includes(',') ? `"${cell}"` : cell))
      .join(','),
  ),
  '',
].join('\n')
const file = join(folder, 'Payments 2024.csv')
writeFileSync(file, CSV)

/** Runs fd in a folder, as a user does, without any setting of this process. */
async function fd(cwd: string, ...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] }
  return startProgram(join(PROJECT_ROOT, 'pipelines/fd.ts'), args, env, cwd).ended
}

test('what fd init writes loads, compiles and is used from any folder of the project', async () => {
  const made = await fd(folder, 'init', 'shop', '--from', file)
  expect(made.code, made.stderr).toBe(0)
  expect(made.stdout).toContain('Next: fd datasets describe payments-2024 --project shop')
  const root = join(folder, 'shop')
  expect(readFileSync(join(root, 'datasets/payments-2024.yaml'), 'utf8')).toContain('path: "../Payments 2024.csv"')
  execFileSync(join(PROJECT_ROOT, 'node_modules/.bin/tsc'), ['-p', root], { stdio: 'pipe' })
  const inner = join(root, 'features')
  const [described, listed] = await Promise.all([
    fd(inner, 'datasets', 'describe', 'payments-2024'),
    fd(inner, 'features', 'list', '--json'),
  ])
  expect(described.stdout).toContain('Nothing looks wrong.')
  // The first midnight with four fifths of the 40 days before it.
  const next = 'fd features backfill --dataset payments-2024 --until 2024-02-02 --online'
  expect(described.stdout).toContain(`Next: ${next}`)
  expect(JSON.parse(listed.stdout)).toContainEqual(expect.objectContaining({ name: 'payments-2024' }))
  const filled = await fd(
    inner,
    'features',
    'backfill',
    '--dataset',
    'payments-2024',
    '--online',
    '--json',
    '--shards',
    '2',
  )
  expect(filled.code, filled.stderr).toBe(0)
  expect(JSON.parse(filled.stdout)).toMatchObject({ transactions: ROWS })
  const checked = await fd(inner, 'features', 'check')
  expect([checked.code, checked.stdout]).toEqual([
    0,
    expect.stringMatching(/dataset payments-2024 +fits, \d+ features/),
  ])
  const broken = readFileSync(join(inner, 'payments-2024.ts'), 'utf8').replace('amount: amount()', 'amount: amuont()')
  writeFileSync(join(inner, 'payments-2024.ts'), broken)
  const refused = await fd(root, 'features', 'check')
  expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining('ReferenceError: amuont')])
  const wrong = await fd(root, 'features', 'describe', 'payments-2024')
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    expect.stringMatching(/payments-2024\.ts:\d+:13: ReferenceError: amuont/),
  ])
})

test('nothing is overwritten; another dataset joins; names that come with fd are refused', async () => {
  const root = join(folder, 'twice')
  mkdirSync(root)
  writeFileSync(join(root, '.gitignore'), 'mine\n')
  const first = await fd(root, 'init', '.', '--from', file, '--name', 'one')
  expect(first.stdout).toContain('Left as they are: .gitignore')
  expect(readFileSync(join(root, '.gitignore'), 'utf8')).toBe('mine\n')
  const again = await fd(root, 'init', '.', '--from', file, '--name', 'one')
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('one.yaml is there already')])
  expect((await fd(root, 'init', '.', '--from', file, '--name', 'two')).code).toBe(0)
  const listed = await fd(root, 'datasets', 'list')
  expect(listed.stdout).toMatch(/\bone\b[^]*\btwo\b/)
  const taken = await fd(root, 'init', '.', '--from', file, '--name', 'handbook')
  expect(taken.stderr).toContain('"handbook" comes with fd')
  const inside = await fd(root, 'init', 'deeper', '--from', file)
  expect(inside.stderr).toContain(`lies in the project ${root}`)
})

test('a project without data says how it gets some', async () => {
  const made = await fd(folder, 'init', 'bare')
  expect(made.stdout).toContain('Next: fd init bare --from FILE')
  const listed = await fd(join(folder, 'bare'), 'features', 'list')
  expect(listed.code, listed.stderr).toBe(0)
})

test('a person is asked for what no option says, and again where the answer is no column', async () => {
  const look = await lookAt(file)
  const [input, output] = [new PassThrough(), new PassThrough()]
  const asked = askRoles(look, { time: 'paid at' }, { input, output })
  const answers = ['amount', 'x-1', '', 'none', 'payer=card, shop']
  let said = ''
  output.setEncoding('utf8').on('data', (text: string) => {
    said += text
    if (text.endsWith(']: ')) input.write(`${answers.shift() ?? ''}\n`)
  })
  expect(await asked).toEqual({
    time: 'paid at',
    amount: 'x-1',
    label: 'fraud',
    id: 'none',
    entity: ['payer=card', 'shop'],
  })
  expect(said).toContain('has no column "amount"')
  expect(said).toContain('Its amount [amt]: ')
  const ended = askRoles(look, {}, { input: new PassThrough().end(), output: new PassThrough().resume() })
  await expect(ended).rejects.toThrow(/Ended before all was answered/)
})
