import type { Config } from '../../configs/config.ts'
import { find, warning, type Finding, type Judgement } from '../../configs/finding.ts'
import type { Tell } from '../../configs/tell.ts'
import { withoutPassword } from '../../configs/url.ts'
import type { LogNeeds } from '../../datasets/log/event-log.ts'
import { openLake, openLog, openRegistry, openStore } from '../console/parts.ts'
import type { Check } from './check.ts'

/** The parts behind the URLs of the configuration: first what the service looks like, then what fd has in it. */
export const SERVICES: Record<string, Check> = {
  'event log': async (config, inspection) => {
    const { inspectEventLog } = await import('../../datasets/open.ts')
    const findings = await inspectEventLog(config.eventLog, inspection, await logNeeds(config))
    return withContents(findings, () => topicsOf(config, inspection.tell))
  },
  'online store': async (config, inspection) => {
    const { inspectOnlineStore } = await import('../../features/open.ts')
    const findings = await inspectOnlineStore(config.onlineStore, inspection)
    return withContents(findings, () => basesOf(config, inspection.tell))
  },
  'job queue': async ({ jobQueue }, { tell }) => queueFindings(jobQueue, tell),
  registry: async (config, inspection) => {
    const { inspectRegistry } = await import('../../registry/open.ts')
    const findings = await inspectRegistry(config.registry, config.mlflow, inspection)
    const found = await withContents(findings, () => modelsOf(config))
    if (isDown(found)) return found
    const champions = await find('champions', () => championsOf(config))
    return [...found, champions, await find('runs', () => abandonedOf(config, inspection.tell))]
  },
  lake: async (config, inspection) => {
    const { inspectLake } = await import('../../datasets/open.ts')
    const findings = await inspectLake(config.lake, config.s3, inspection)
    return withContents(findings, () => filesOf(config, inspection.tell))
  },
}

/** A server that does not answer is not asked anything else. */
function isDown(findings: readonly Finding[]): boolean {
  return findings.some(({ aspect, state }) => aspect === 'server' && state === 'broken')
}

async function withContents(findings: Finding[], contents: () => Promise<string | Judgement>): Promise<Finding[]> {
  return isDown(findings) ? findings : [...findings, await find('contents', contents)]
}

const missing = (detail: string): Judgement => ({ state: 'missing', detail })

async function logNeeds(config: Config): Promise<LogNeeds> {
  const { group, partitions } = config.scorer
  const [topics, { allServices }, { longestReach }] = await Promise.all([
    import('../../serving/topics.ts'),
    import('../../features/catalog.ts'),
    import('../../features/view/view.ts'),
  ])
  const retention = Math.max(...allServices(config).map(longestReach))
  return {
    group,
    input: { topic: topics.TRANSACTIONS, partitions, retention },
    outputs: [topics.PREDICTIONS, topics.FRAUD_ALERTS, topics.DEAD_LETTERS],
  }
}

async function topicsOf(config: Pick<Config, 'eventLog'>, tell: Tell): Promise<string | Judgement> {
  await using log = await openLog(config, tell)
  const topics = await log.topics()
  const place = withoutPassword(config.eventLog)
  if (topics.length === 0) return missing(`${place}: no topics yet. Run: fd produce --dataset simulated`)
  const counts = topics.map(
    ({ name, offsets }) => `${name} ${offsets.reduce((sum, { start, end }) => sum + end - start, 0)}`,
  )
  return `${place}: ${counts.join(', ')}`
}

async function basesOf(config: Pick<Config, 'onlineStore' | 'featureFolder'>, tell: Tell): Promise<string | Judgement> {
  const { allServices } = await import('../../features/catalog.ts')
  await using store = await openStore(config, tell)
  const bases = (await Promise.all(allServices(config).map(({ name }) => store.base(name)))).filter(
    (base) => base !== undefined,
  )
  const place = withoutPassword(config.onlineStore)
  if (bases.length === 0) {
    return missing(`${place}: no features yet. Run: fd features backfill --dataset simulated --online`)
  }
  return `${place}: ${bases.map(({ service, version }) => `${service} version ${version}`).join(', ')}`
}

async function queueFindings(url: string, tell: Tell): Promise<Finding[]> {
  const server = await find('server', () => workersOf(url, tell))
  if (url === 'local:' || server.state === 'broken') return [server]
  return [server, await find('jobs', () => abandonedJobsOf(url, tell))]
}

/** Jobs that wait although their command is gone. */
async function abandonedJobsOf(url: string, tell: Tell): Promise<string | Judgement> {
  const { openJobQueue } = await import('../../training/open.ts')
  await using queue = await openJobQueue(url, tell)
  const ids = (await queue.abandoned()).map(({ kind, id }) => `${kind} ${id}`)
  if (ids.length === 0) return 'each waits for a command that lives'
  return warning(
    `${ids.length} jobs of commands that are gone: ${ids.join(', ')}. The next worker removes them: fd worker`,
  )
}

/** Counting the workers is a round trip through everything that a command needs to put jobs into the queue. */
async function workersOf(url: string, tell: Tell): Promise<string> {
  const { openJobQueue } = await import('../../training/open.ts')
  await using queue = await openJobQueue(url, tell)
  if (url === 'local:') return 'local: jobs are done by the command that has them'
  const others = `${await queue.workers()} at work besides those that a command starts`
  return `${withoutPassword(url)}: ${others} (more: fd worker)`
}

type RegistryPlace = Pick<Config, 'registry' | 'mlflow'>

async function modelsOf(config: RegistryPlace): Promise<string | Judgement> {
  await using registry = await openRegistry(config)
  const models = await registry.searchRegisteredModels()
  const place = withoutPassword(config.registry)
  if (models.length === 0) {
    return missing(`${place}: no models yet. Run: fd train --dataset simulated --register card-fraud`)
  }
  const standings = models.map(({ name, aliases }) => {
    const champion = aliases['champion']
    return `${name} (${champion === undefined ? 'no champion' : `champion ${champion}`})`
  })
  return `${place}: ${standings.join(', ')}`
}

async function championsOf(config: RegistryPlace): Promise<string | Judgement> {
  const { loadVersion } = await import('../../serving/model/champion.ts')
  await using registry = await openRegistry(config)
  const found = (await registry.searchRegisteredModels()).flatMap(({ name, aliases }) =>
    aliases['champion'] === undefined ? [] : [{ name, version: aliases['champion'] }],
  )
  let changed = 0
  for (const { name, version } of found) {
    try {
      await (await loadVersion(registry, name, version))[Symbol.asyncDispose]()
    } catch (error) {
      if ((await registry.aliasVersion(name, 'champion')) === version) throw error
      // It was replaced or deleted since it was listed, which is no fault.
      changed++
    }
  }
  const standing = found.length - changed
  return standing === 0
    ? missing('none yet. Run: fd models promote NAME VERSION')
    : `${standing} of ${standing} load and score a row`
}

/** Runs that are RUNNING without a living owner. */
async function abandonedOf(config: RegistryPlace, tell: Tell): Promise<string | Judgement> {
  const { abandonedRuns, ownerlessRuns } = await import('../../training/ownership/abandoned.ts')
  await using registry = await openRegistry(config)
  const faults: string[] = []
  for await (const { run, reason } of abandonedRuns(registry, { tell })) {
    faults.push(`Run ${run.runId} is RUNNING. ${reason} The next fd train closes it, or: fd runs close`)
  }
  const old = (await ownerlessRuns(registry)).map(({ runId }) => runId)
  if (old.length > 0) {
    faults.push(`An older fd left runs that name no owner. When nothing trains, run: fd runs close ${old.join(' ')}`)
  }
  return faults.length === 0 ? 'each that is RUNNING has a living owner' : warning(faults.join('\n'))
}

async function filesOf(config: Pick<Config, 'lake' | 's3'>, tell: Tell): Promise<string> {
  await using lake = await openLake(config, tell)
  const files = await lake.list('transactions')
  return `${withoutPassword(config.lake)}: ${files.length} files of raw transactions`
}
