import { join } from 'node:path'
import { Command } from 'commander'
import type { Config } from '../../../configs/config.ts'
import { UserError } from '../../../configs/user-error.ts'
import { withNext } from '../../console/command-line.ts'
import { action, example, type Context } from '../../console/command.ts'
import { pairs } from '../../console/output.ts'

export function checkCommand(): Command {
  return example(
    new Command('check').description(
      "load all of the project's datasets and features, and see whether they fit; exit 1 when one does not",
    ),
    'fd features check',
  ).action(action(check))
}

/** A file of definitions: what it says, or why it says nothing. */
interface Checked {
  /** `dataset shop` or the path of a file of features. */
  what: string
  /** How many features there are of the service that the dataset reads. */
  features: number | null
  fault: string | null
}

async function check({ config, output, fd }: Context): Promise<void> {
  const { userDatasetNames } = await import('../../../datasets/described/user-dataset.ts')
  const { projectServices } = await import('../../../features/catalog.ts')
  const files = projectServices(config)
  const checked: Checked[] = files.flatMap((each) =>
    'fault' in each ? [{ what: each.file, features: null, fault: each.fault.message }] : [],
  )
  const read = new Set<string>()
  for (const name of userDatasetNames(config)) checked.push(await checkDataset(name, config, read))
  for (const each of files) {
    if (!('service' in each) || read.has(each.service.name)) continue
    const fault = `no dataset reads it: write "service: ${each.service.name}" into one`
    checked.push({ what: each.file, features: null, fault })
  }
  const text = (): string =>
    checked.length === 0
      ? 'There are no datasets and no features here yet.'
      : pairs(checked.map(({ what, features, fault }) => [what, fault ?? `fits, ${features} features`]))
  const faults = checked.filter(({ fault }) => fault !== null)
  if (faults.length === 0) {
    const [first] = read
    const next = first === undefined ? fd('init', '.', { from: 'FILE' }) : fd('features', 'describe', first)
    return output.result(checked, () => withNext(text(), next))
  }
  output.refuse(checked, text, new UserError(`${faults.length} of ${checked.length} do not fit.`, { exitCode: 1 }))
}

/** @param read takes the name of the service that the dataset reads. */
async function checkDataset(name: string, config: Config, read: Set<string>): Promise<Checked> {
  const [{ readUserDataset }, { featureService }, { checkService }, { featureNames }] = await Promise.all([
    import('../../../datasets/described/user-dataset.ts'),
    import('../../../features/catalog.ts'),
    import('../../../features/view/service-check.ts'),
    import('../../../features/view/view.ts'),
  ])
  const what = `dataset ${name}`
  try {
    const dataset = readUserDataset(join(config.datasetFolder, `${name}.yaml`))
    read.add(dataset.service)
    const service = featureService(dataset.service, dataset.schema, config)
    checkService(service, dataset.schema, name)
    return { what, features: featureNames(service).length, fault: null }
  } catch (error) {
    if (error instanceof UserError) return { what, features: null, fault: error.message }
    throw error
  }
}
