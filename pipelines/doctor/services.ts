import { find, type Finding, type Judgement } from '../../configs/finding.ts'
import { withoutPassword } from '../../configs/url.ts'
import type { LogNeeds } from '../../datasets/log/event-log.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Check } from '../commands/doctor.ts'
import type { Context } from '../console/command.ts'
import { openLake, openLog, openStore } from '../console/parts.ts'

/** The parts behind the URLs of the configuration: what the service looks like, then what fd has in it. */
export const SERVICES: Record<string, Check> = {
  'event log': async (context, inspection) => {
    const { inspectEventLog } = await import('../../datasets/open.ts')
    return withContents(await inspectEventLog(context.config.eventLog, inspection, await logNeeds(context)), () =>
      topicsOf(context),
    )
  },
  'online store': async (context, inspection) => {
    const { inspectOnlineStore } = await import('../../features/open.ts')
    return withContents(await inspectOnlineStore(context.config.onlineStore, inspection), () => basesOf(context))
  },
  'job queue': async (context) => [await find('server', () => workersOf(context))],
  registry: async (context, inspection) => {
    const { inspectRegistry } = await import('../../registry/open.ts')
    const found = await withContents(
      await inspectRegistry(context.config.registry, context.config.mlflow, inspection),
      () => modelsOf(context),
    )
    return isDown(found) ? found : [...found, await find('champions', () => championsOf(context))]
  },
  lake: async (context, inspection) => {
    const { inspectLake } = await import('../../datasets/open.ts')
    return withContents(await inspectLake(context.config.lake, context.config.s3, inspection), () => filesOf(context))
  },
}

/** A server that does not answer is asked for nothing more. */
function isDown(findings: readonly Finding[]): boolean {
  return findings.some(({ aspect, state }) => aspect === 'server' && state === 'broken')
}

async function withContents(findings: Finding[], contents: () => Promise<string | Judgement>): Promise<Finding[]> {
  return isDown(findings) ? findings : [...findings, await find('contents', contents)]
}

const missing = (detail: string): Judgement => ({ state: 'missing', detail })

async function logNeeds({ config }: Context): Promise<LogNeeds> {
  const [topics, { featureServices }, { longestReach }] = await Promise.all([
    import('../../serving/topics.ts'),
    import('../../features/catalog.ts'),
    import('../../features/view/view.ts'),
  ])
  const retention = Math.max(...featureServices.map(longestReach))
  return {
    group: config.scorer.group,
    input: { topic: topics.TRANSACTIONS, partitions: config.scorer.partitions, retention },
    outputs: [topics.PREDICTIONS, topics.FRAUD_ALERTS, topics.DEAD_LETTERS],
  }
}

async function topicsOf(context: Context): Promise<string | Judgement> {
  await using log = await openLog(context)
  const topics = await log.topics()
  const place = withoutPassword(context.config.eventLog)
  if (topics.length === 0) return missing(`${place}: no topics yet. Run: fd produce --dataset simulated`)
  return `${place}: ${topics.map(({ name, offsets }) => `${name} ${offsets.reduce((sum, { start, end }) => sum + end - start, 0)}`).join(', ')}`
}

async function basesOf(context: Context): Promise<string | Judgement> {
  const { featureServices } = await import('../../features/catalog.ts')
  await using store = await openStore(context)
  const bases = (await Promise.all(featureServices.map(({ name }) => store.base(name)))).filter(
    (base) => base !== undefined,
  )
  const place = withoutPassword(context.config.onlineStore)
  if (bases.length === 0)
    return missing(`${place}: no features yet. Run: fd features backfill --dataset simulated --online`)
  return `${place}: ${bases.map(({ service, version }) => `${service} version ${version}`).join(', ')}`
}

/** Being told of its workers is a round trip through what a command needs to put jobs into it. */
async function workersOf({ config, output }: Context): Promise<string> {
  const { openJobQueue } = await import('../../training/open.ts')
  await using queue = await openJobQueue(config.jobQueue, output.note)
  if (config.jobQueue === 'local:') return 'local: jobs are done by the command that has them'
  return `${withoutPassword(config.jobQueue)}: ${await queue.workers()} at work besides those that a command starts (more: fd worker)`
}

async function openModels({ config }: Context): Promise<Registry> {
  const { openRegistry } = await import('../../registry/open.ts')
  return openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
}

async function modelsOf(context: Context): Promise<string | Judgement> {
  await using registry = await openModels(context)
  const models = await registry.searchRegisteredModels()
  const place = withoutPassword(context.config.registry)
  if (models.length === 0)
    return missing(`${place}: no models yet. Run: fd train --dataset simulated --register card-fraud`)
  return `${place}: ${models.map(({ name, aliases }) => `${name} (${aliases['champion'] === undefined ? 'no champion' : `champion ${aliases['champion']}`})`).join(', ')}`
}

async function championsOf(context: Context): Promise<string | Judgement> {
  const { loadVersion } = await import('../../serving/model/champion.ts')
  await using registry = await openModels(context)
  const found = (await registry.searchRegisteredModels()).flatMap(({ name, aliases }) =>
    aliases['champion'] === undefined ? [] : [{ name, version: aliases['champion'] }],
  )
  let changed = 0
  for (const { name, version } of found) {
    try {
      await (await loadVersion(registry, name, version))[Symbol.asyncDispose]()
    } catch (error) {
      if ((await registry.aliasVersion(name, 'champion')) === version) throw error
      // Replaced or deleted since it was listed, which is no fault.
      changed++
    }
  }
  const standing = found.length - changed
  return standing === 0
    ? missing('none yet. Run: fd models promote NAME VERSION')
    : `${standing} of ${standing} load and score a row`
}

async function filesOf(context: Context): Promise<string> {
  await using lake = await openLake(context)
  return `${withoutPassword(context.config.lake)}: ${(await lake.list('transactions')).length} files of raw transactions`
}
