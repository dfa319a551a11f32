import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { withoutPassword } from '../configs/url.ts'
import { errorMessage, UserError } from '../configs/user-error.ts'
import { action, example, type Context } from './command.ts'
import { table } from './output.ts'

/** One thing that must work, and what to do when it does not. */
interface Finding {
  check: string
  state: 'ok' | 'missing' | 'broken'
  detail: string
}

/** A check: what it found, `missing` when a step of the user's is still to come, or an error when something is broken. */
type Check = (context: Context) => Promise<string | { missing: string }>

const CHECKS: Record<string, Check> = {
  'Node.js': async () => {
    const major = Number(process.versions.node.split('.')[0])
    if (major < 24) throw new UserError(`${process.version} is too old for fd. Run it as npx fd or npm run fd, which use the Node.js 24 in node_modules.`)
    return process.version
  },
  home: async ({ config }) => {
    await mkdir(config.home, { recursive: true })
    const probe = join(config.home, `.doctor-${process.pid}`)
    await writeFile(probe, 'x')
    await rm(probe)
    const { bavail, bsize } = await statfs(config.home)
    const free = (bavail * bsize) / 2 ** 30
    if (free < 1) throw new UserError(`${config.home}: only ${free.toFixed(2)} GiB free. Free some space, or set FD_HOME to another disk.`)
    return `${config.home}, ${free.toFixed(0)} GiB free`
  },
  DuckDB: async () => {
    const { openDatabase } = await import('../datasets/duckdb.ts')
    await using database = await openDatabase()
    await database.run('SELECT 1')
    return 'reads and writes tables'
  },
  'event log': async ({ config }) => {
    const { openEventLog } = await import('../datasets/event-log.ts')
    await using log = await openEventLog(config.eventLog)
    const topics = await log.topics()
    if (topics.length === 0) return { missing: `${withoutPassword(config.eventLog)}: no topics yet. Run: fd produce --dataset simulated` }
    return `${withoutPassword(config.eventLog)}: ${topics.map(({ name, offsets }) => `${name} ${offsets.reduce((sum, { start, end }) => sum + end - start, 0)}`).join(', ')}`
  },
  'online store': async ({ config }) => {
    const [{ openOnlineStore }, { featureServices }] = await Promise.all([import('../features/online-store.ts'), import('../features/catalog.ts')])
    await using store = await openOnlineStore(config.onlineStore)
    const bases = (await Promise.all(featureServices.map(({ name }) => store.base(name)))).filter((base) => base !== undefined)
    if (bases.length === 0) return { missing: `${withoutPassword(config.onlineStore)}: no features yet. Run: fd features backfill --dataset simulated --online` }
    return `${withoutPassword(config.onlineStore)}: ${bases.map(({ service, version }) => `${service} version ${version}`).join(', ')}`
  },
  registry: async ({ config }) => {
    const { openRegistry } = await import('../registry/registry.ts')
    await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
    const models = await registry.searchRegisteredModels()
    if (models.length === 0) return { missing: `${withoutPassword(config.registry)}: no models yet. Run: fd train --dataset simulated --register card-fraud` }
    return `${withoutPassword(config.registry)}: ${models.map(({ name, aliases }) => `${name} (${aliases['champion'] === undefined ? 'no champion' : `champion ${aliases['champion']}`})`).join(', ')}`
  },
  champions: async ({ config }) => {
    const [{ openRegistry }, { loadVersion }] = await Promise.all([import('../registry/registry.ts'), import('../serving/champion.ts')])
    await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
    const found = (await registry.searchRegisteredModels()).flatMap(({ name, aliases }) => (aliases['champion'] === undefined ? [] : [{ name, version: aliases['champion'] }]))
    for (const { name, version } of found) await (await loadVersion(registry, name, version))[Symbol.asyncDispose]()
    return found.length === 0 ? { missing: 'none yet. Run: fd models promote NAME VERSION' } : `${found.length} of ${found.length} load and score a row`
  },
  lake: async ({ config }) => {
    const { openLake } = await import('../datasets/lake.ts')
    await using lake = await openLake(config.lake, config.s3)
    return `${withoutPassword(config.lake)}: ${(await lake.list('transactions')).length} files of raw transactions`
  },
}

export function doctorCommand(): Command {
  return example(new Command('doctor').description('check everything fd needs, and say what to do about each fault; exit 1 when something is broken'), 'fd doctor').action(action(doctor))
}

async function doctor(context: Context): Promise<void> {
  const findings: Finding[] = []
  for (const [check, run] of Object.entries(CHECKS)) findings.push(await finding(context, check, run))
  const broken = findings.filter(({ state }) => state === 'broken')
  context.output.result(findings, () => table(['', 'check', 'detail'], findings.map(({ state, check, detail }) => [state, check, detail])))
  if (broken.length > 0) throw new UserError(`${broken.length} of ${findings.length} checks failed: ${broken.map(({ check }) => check).join(', ')}.`, { exitCode: 1 })
}

async function finding(context: Context, check: string, run: Check): Promise<Finding> {
  try {
    const found = await run(context)
    return typeof found === 'string' ? { check, state: 'ok', detail: found } : { check, state: 'missing', detail: found.missing }
  } catch (error) {
    return { check, state: 'broken', detail: errorMessage(error) }
  }
}
