import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { find } from '../../configs/finding.ts'
import { makeFolder } from '../../configs/folder.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Check } from './check.ts'

/** What must work on this machine, whatever the configuration. */
export const MACHINE: Record<string, Check> = {
  'Node.js': async () => [await find('', checkNode)],
  home: async ({ home }) => [await find('', () => checkHome(home))],
  DuckDB: async () => [await find('', checkDuckDb)],
}

async function checkNode(): Promise<string> {
  const major = Number(process.versions.node.split('.')[0])
  if (major < 24) {
    throw new UserError(
      `${process.version} is too old for fd. ` +
        'Run it as npx fd or npm run fd, which use the Node.js 24 in node_modules.',
    )
  }
  return process.version
}

async function checkDuckDb(): Promise<string> {
  const { openDatabase } = await import('../../datasets/table/duckdb.ts')
  await using database = await openDatabase()
  await database.run('SELECT 1')
  return 'reads and writes tables'
}

async function checkHome(home: string): Promise<string> {
  makeFolder(home)
  const probe = join(home, `.doctor-${process.pid}`)
  await writeFile(probe, 'x')
  await rm(probe)
  const { bavail, bsize } = await statfs(home)
  const free = (bavail * bsize) / 2 ** 30
  if (free < 1) {
    throw new UserError(`${home}: only ${free.toFixed(2)} GiB free. Free some space, or set FD_HOME to another disk.`)
  }
  return `${home}, ${free.toFixed(0)} GiB free`
}
