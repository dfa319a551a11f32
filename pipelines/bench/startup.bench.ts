/**
 * The time from start to exit of commands that need no service and no data, beside an empty program of the same Node.
 * Prints JSON.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { environmentWithHome } from '../../configs/config.ts'
import { median } from './world.ts'

const RUNS = 15
const COMMANDS = [['--version'], ['--help'], ['datasets', 'list']]

function seconds(args: string[]): number {
  const started = performance.now()
  const { status, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    encoding: 'utf8',
    env: environmentWithHome('/nowhere'),
  })
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr}`)
  return (performance.now() - started) / 1000
}

const entry = join(import.meta.dirname, '../fd.ts')
const programs: [string, string[]][] = [
  ['node --eval ""', ['--eval', '']],
  ...COMMANDS.map((args): [string, string[]] => [`fd ${args.join(' ')}`, [entry, ...args]]),
]
const taken = new Map(programs.map(([name, args]) => [name, (seconds(args), [] as number[])]))
for (let run = 0; run < RUNS; run++) for (const [name, args] of programs) taken.get(name)?.push(seconds(args))
const results = [...taken].map(([program, times]) => ({
  program,
  medianSeconds: Number(median(times).toFixed(3)),
  fastestSeconds: Number(Math.min(...times).toFixed(3)),
}))
console.log(
  JSON.stringify({ benchmark: 'startup', node: process.version, runs: RUNS, aimSeconds: 0.3, results }, null, 2),
)
