import { join } from 'node:path'
import { Command } from 'commander'
import type { Config } from '../../../configs/config.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { DatasetSchema } from '../../../datasets/table/dataset.ts'
import type { DerivedFeature, FeatureService, FeatureView, RequestFeature } from '../../../features/view/view.ts'
import { withNext } from '../../console/command-line.ts'
import { action, example, type Context } from '../../console/command.ts'
import { pairs, table } from '../../console/output.ts'
import { computation, MEANINGS, windowText } from './meaning.ts'
import { exampleText } from './worked-example.ts'

export function describeCommand(): Command {
  return example(
    new Command('describe')
      .description('views, windows and features of a service, what they mean, and a worked example')
      .argument('<service>'),
    'fd features describe card-fraud',
  ).action(action(describe))
}

async function describe({ config, output, fd }: Context, _: object, name: string): Promise<void> {
  const { featureService } = await import('../../../features/catalog.ts')
  const { serviceDigest } = await import('../../../features/view/view.ts')
  const reader = await readerOf(name, config)
  const service = featureService(name, reader?.schema, config)
  const digest = serviceDigest(service)
  const worked = await exampleText(service, reader?.schema)
  output.result({ ...service, digest }, () => {
    const features = table(['view', 'entity', 'feature', 'function', 'window'], service.views.flatMap(viewRows))
    const next = fd('features', 'backfill', { dataset: reader?.name ?? 'NAME', service: service.name, online: true })
    const parts = [`${service.description}\ndigest ${digest}`, features, meaningText(service), worked]
    return withNext(parts.filter((part) => part !== '').join('\n\n'), next)
  })
}

/** The user's first dataset that reads the service; undefined where none does that is valid. */
async function readerOf(service: string, config: Config): Promise<{ name: string; schema: DatasetSchema } | undefined> {
  const { readUserDataset, userDatasetNames } = await import('../../../datasets/described/user-dataset.ts')
  for (const name of userDatasetNames(config)) {
    try {
      const dataset = readUserDataset(join(config.datasetFolder, `${name}.yaml`))
      if (dataset.service === service) return { name, schema: dataset.schema }
    } catch (error) {
      if (!(error instanceof UserError)) throw error
    }
  }
  return undefined
}

/** A row for each feature of a view: view, entity, feature, function, window. */
function viewRows(view: FeatureView): string[][] {
  if (view.kind !== 'aggregate') {
    const about = view.kind === 'request' ? 'the transaction' : 'its features'
    return view.features.map((feature) => [view.name, about, feature.name, source(feature), ''])
  }
  return view.features.map((feature) => [
    view.name,
    view.entity,
    feature.name,
    computation(feature),
    'window' in feature ? windowText(feature.window) : '',
  ])
}

/** What a feature without a window is made of. */
function source(feature: RequestFeature | DerivedFeature): string {
  if ('expression' in feature) return feature.expression
  return 'column' in feature ? feature.column : feature.from
}

/** What the functions of the service mean, each once, and what its windows hold. */
function meaningText({ views }: FeatureService): string {
  const aggregates = views.filter((view) => view.kind === 'aggregate')
  const used = new Set(aggregates.flatMap(({ features }) => features.map((feature) => feature.function)))
  if (used.size === 0) return ''
  const meanings = pairs([...used].map((name) => [name, MEANINGS[name]]))
  const without = aggregates.filter(({ includesCurrent }) => !includesCurrent).map(({ name }) => name)
  const own =
    without.length === 0
      ? 'The transaction itself counts.'
      : `The transaction itself counts, but not in ${without.join(', ')}.`
  return `${meanings}\n\nA window holds events of the key that stand earlier in the log, by their own time. ${own}`
}
