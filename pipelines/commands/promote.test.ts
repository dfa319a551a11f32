import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runFd, type Ended } from '../console/fd-process.ts'

let home: string
let file: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'fd-promote-'))
  file = join(home, 'card transactions.parquet')
  const size = ['--customers', '150', '--terminals', '200', '--days', '90', '--seed', '3']
  await fd('datasets', 'simulate', ...size, '--out', file)
})
afterAll(() => rm(home, { recursive: true, force: true }))

const PATIENT = { timeout: 120_000 }

async function fd(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runFd(home, args)
  if (code !== 0) throw new Error(`fd ${args.join(' ')}: ${stderr}${stdout}`)
  return stdout
}

/** Trains a version of `name` and resolves to its number. */
async function train(name: string, ...more: string[]): Promise<number> {
  const few = ['--param', 'rounds=20', ...more]
  const told = await fd('train', '--dataset', 'simulated', '--data', file, ...few, '--register', name, '--json')
  return (JSON.parse(told) as { version: number }).version
}

const promote = (name: string, version: number, ...more: string[]): Promise<Ended> =>
  runFd(home, ['models', 'promote', name, String(version), ...more, '--json'])

/** What the gate of average precision said. */
function gateOf({ stdout }: Ended): { passed: boolean; detail: string } {
  const { checks } = JSON.parse(stdout) as { checks: { gate: string; passed: boolean; detail: string }[] }
  return checks.find(({ gate }) => gate === 'average precision') ?? { passed: false, detail: '' }
}

test(
  'a champion that has seen the test rows is not compared on them, and the command given makes it comparable',
  PATIENT,
  async () => {
    const champion = await train('m')
    expect((await promote('m', champion)).code).toBe(0)
    const early = await train('m', '--until', '2018-05-20', '--param', 'max_depth=3', '--seed', '4')
    const refused = await promote('m', early)
    expect(refused.code).toBe(1)
    const { passed, detail } = gateOf(refused)
    expect(passed).toBe(false)
    expect(detail).toMatch(/^not comparable: version 1 was trained on rows up to 2018-.*test rows of version 2 end at/)
    const [, command] = /train it where it is: fd (train .*); or say why/.exec(detail) ?? []
    expect(command).toContain(`--data '${file}' --split `)
    expect(command).toContain('--model boosting --param max_depth=3 --param rounds=20 --seed 4 --register m')
    const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain)
    const again = JSON.parse(await fd(...words, '--json')) as { version: number }
    const compared = gateOf(await promote('m', again.version, '--margin', '1'))
    expect(compared.passed).toBe(true)
    expect(compared.detail).toMatch(/in 95 % of resamples [−+][\d.]+ to [−+][\d.]+: .*drawn by customer\)$/)
  },
)

test('a champion of an earlier time is compared on the test rows that came after its training', PATIENT, async () => {
  const champion = await train('late', '--until', '2018-06-10')
  await promote('late', champion)
  const { card } = JSON.parse(await fd('models', 'describe', `late/${champion}`, '--json')) as {
    card: { training: { to: number }; alertsPerDay: number; holdout: { rows: number } }
  }
  expect(card.alertsPerDay).toBe(100)
  const next = await train('late')
  const gate = gateOf(await promote('late', next, '--margin', '1'))
  expect(gate.passed).toBe(true)
  const shown = await fd('models', 'describe', `late/${champion}`)
  expect(shown).toContain(`to ${new Date(card.training.to).toISOString().slice(0, 19).replace('T', ' ')}`)
  expect(shown).toMatch(/threshold +[\d.e-]+ \(100 alerts a day\)/)
  // The same rows and model again: no difference, in no resample.
  const same = await train('late')
  expect(gateOf(await promote('late', same)).detail).toMatch(
    /difference \+0\.0000, in 95 % of resamples \+0\.0000 to \+0/,
  )
})

test('a budget of more alerts than there are frauds is said', PATIENT, async () => {
  const options = ['train', '--dataset', 'simulated', '--data', file, '--param', 'rounds=2']
  const said = /100 alerts a day are more than the [\d.]+ frauds a day of the test rows/
  expect((await runFd(home, options)).stderr).toMatch(said)
  expect((await runFd(home, [...options, '--alerts-per-day', '1'])).stderr).not.toMatch(said)
})
