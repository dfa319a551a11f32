import { basename } from 'node:path'
import { Command } from 'commander'
import { withNext } from '../../console/command-line.ts'
import { action, example, type Context } from '../../console/command.ts'
import { table } from '../../console/output.ts'

export function listCommand(): Command {
  return example(
    new Command('list').description("feature services: the project's own, and those that come with fd"),
    'fd features list',
  ).action(action(list))
}

async function list({ config, output, fd }: Context): Promise<void> {
  const [{ featureServices, projectServices }, { featureNames }, { ATTRIBUTES }] = await Promise.all([
    import('../../../features/catalog.ts'),
    import('../../../features/view/view.ts'),
    import('../../../features/definition/attributes.ts'),
  ])
  const files = projectServices(config)
  const own = files.flatMap((each) => ('service' in each ? [each.service] : []))
  const services = [...own, ...featureServices]
  const rows = services.map((service) => [service.name, String(featureNames(service).length), service.description])
  rows.push([ATTRIBUTES, 'any', "The dataset's own amount, numeric and categorical columns."])
  for (const each of files) if ('fault' in each) rows.push([basename(each.file), '', each.fault.message])
  const broken = files.some((each) => 'fault' in each)
  const next = broken ? fd('features', 'check') : fd('features', 'describe', services[0].name)
  output.result(services, () => withNext(table(['service', 'features', 'description'], rows), next))
}
