import { Command } from 'commander'
import { withNext } from '../console/command-line.ts'
import { action, example, type Context } from '../console/command.ts'
import { table } from '../console/output.ts'

export function estimatorsCommand(): Command {
  return example(
    new Command('estimators')
      .description('what fd train can fit (--model), and the parameters of each (--param)')
      .argument('[name]', 'one of them alone'),
    'fd estimators',
    'fd estimators neural',
  ).action(action(listEstimators))
}

async function listEstimators({ output, fd }: Context, _options: object, name?: string): Promise<void> {
  const { estimatorNames, findEstimator } = await import('../../training/catalog.ts')
  const estimators = (name === undefined ? estimatorNames() : [name]).map(findEstimator)
  output.result(
    estimators.map(({ name: estimator, description, parameters }) => ({ name: estimator, description, parameters })),
    () => {
      const texts = estimators.map(({ name: estimator, description, parameters }) => {
        const rows = parameters.map((one) => [one.name, one.default, one.range, one.description])
        return `${estimator}: ${description}\n${table(['parameter', 'default', 'range', 'meaning'], rows)}`
      })
      return withNext(texts.join('\n\n'), fd('train', { dataset: 'NAME', model: estimators[0].name }))
    },
  )
}
