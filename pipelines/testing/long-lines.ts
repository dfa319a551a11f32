/**
 * Part of `npm run check`: lists every line of code that is longer than 120 characters. That includes comments and
 * AssemblyScript, which the linter does not read. Exits with 1 when there is such a line.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'

const LONGEST = 120
const FOLDERS = ['configs', 'datasets', 'features', 'registry', 'training', 'serving', 'pipelines', 'notebooks']
const CODE = /\.(ts|tsx|mjs|as|py)$/

const inFolders = FOLDERS.flatMap((folder) =>
  readdirSync(join(PROJECT_ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
)
const files = [...readdirSync(PROJECT_ROOT), ...inFolders]
const long = files
  .filter((file) => CODE.test(file))
  .flatMap((file) =>
    readFileSync(join(PROJECT_ROOT, file), 'utf8')
      .split('\n')
      .flatMap((line, i) => (line.length > LONGEST ? [`${file}:${i + 1} ${line.length} characters`] : [])),
  )
if (long.length > 0) {
  process.stderr.write(`${long.join('\n')}\n${long.length} lines are longer than ${LONGEST} characters.\n`)
  process.exitCode = 1
}
