/**
 * `npm run bench [name …] [-- --flag …]`: runs the benchmarks that lie beside the code, one after the other, each
 * in a process of its own and with the given flags. Each prints JSON. Without names, all run except those that only run
 * when named.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'

const benches = ['datasets', 'features', 'training', 'pipelines'].flatMap((folder) =>
  readdirSync(join(PROJECT_ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.bench.ts'))
    .map((file) => join(folder, file)),
)
const name = (file: string): string => basename(file, '.bench.ts')
const flags = process.argv.slice(2).filter((word) => word.startsWith('--'))
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const unknown = wanted.filter((word) => !benches.some((file) => name(file) === word))
if (unknown.length > 0) {
  process.stderr.write(`No benchmark "${unknown.join(', ')}". There are: ${benches.map(name).join(', ')}\n`)
  process.exit(2)
}
/** These install their peers, and `trees` takes half an hour, so they have to be named. */
const ONLY_WHEN_NAMED = new Set(['trees', 'join'])
const chosen = benches.filter((file) =>
  wanted.length === 0 ? !ONLY_WHEN_NAMED.has(name(file)) : wanted.includes(name(file)),
)
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning', '--expose-gc']
let failed = 0
for (const file of chosen) {
  process.stderr.write(`${name(file)} …\n`)
  const { status } = spawnSync(process.execPath, [...NODE_FLAGS, file, ...flags], {
    cwd: PROJECT_ROOT,
    stdio: 'inherit',
  })
  if (status !== 0) failed++
}
process.exitCode = failed === 0 ? 0 : 2
