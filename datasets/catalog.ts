import { join } from 'node:path'
import type { Config } from '../configs/config.ts'
import { UserError } from '../configs/user-error.ts'
import { readUserDataset, userDataset, userDatasetNames } from './described/user-dataset.ts'
import { handbook, HANDBOOK_SCHEMA, simulated } from './published/handbook.ts'
import { kaggleCcSynthetic } from './published/kaggle-cc-synthetic.ts'
import { kaggleCc, KAGGLE_CC_SCHEMA } from './published/kaggle-cc.ts'
import { DEFAULT_ID, type Dataset, type DatasetSchema } from './table/dataset.ts'

/** The datasets that come with the project. Those of users are YAML files. */
const BUILT_IN: Record<string, { schema: DatasetSchema; open: (config: Config, data?: string) => Dataset }> = {
  'kaggle-cc': { schema: KAGGLE_CC_SCHEMA, open: kaggleCc },
  'kaggle-cc-synthetic': { schema: KAGGLE_CC_SCHEMA, open: kaggleCcSynthetic },
  handbook: { schema: HANDBOOK_SCHEMA, open: handbook },
  simulated: { schema: HANDBOOK_SCHEMA, open: simulated },
}

/** Whether a dataset of that name comes with fd. */
export function isBuiltIn(name: string): boolean {
  return Object.hasOwn(BUILT_IN, name)
}

/**
 * Names of all datasets: the built-in first, then the user's own in alphabetical order.
 *
 * @throws UserError when one of the user's has the name of a built-in.
 */
export function datasetNames(config: Config): string[] {
  const { datasetFolder } = config
  const own = userDatasetNames(config)
  const clash = own.find((name) => Object.hasOwn(BUILT_IN, name))
  if (clash !== undefined) {
    const file = `${datasetFolder}/${clash}.yaml`
    throw new UserError(`${file} has the name of a built-in dataset. Rename it, such as my-${clash}.yaml.`)
  }
  return [...Object.keys(BUILT_IN), ...own]
}

/**
 * The dataset of that name. This looks for its file, but does not read it yet.
 *
 * @param options.data the file, instead of the configured or usual one.
 * @throws UserError for an unknown name (the names are listed), a missing file, or a YAML that is not valid.
 */
export async function openDataset(name: string, config: Config, options: { data?: string } = {}): Promise<Dataset> {
  const names = datasetNames(config)
  if (!names.includes(name)) {
    throw new UserError(
      `There is no dataset "${name}". There are: ${names.join(', ')}.\n` +
        `For your own: fd init DIR --from FILE, or copy configs/datasets/example.yaml to ` +
        `${join(config.datasetFolder, 'NAME.yaml')}. Those of a project are found from within it, or by --project DIR.`,
    )
  }
  return Object.hasOwn(BUILT_IN, name)
    ? BUILT_IN[name].open(config, options.data)
    : userDataset(name, config, options.data)
}

/**
 * The fields in which records hold the id of a transaction: that of predictions and of records without an id column,
 * and the id columns of all datasets. A dataset whose YAML is not valid has none.
 */
export function idColumnsOf(config: Config): string[] {
  const { datasetFolder } = config
  const builtIn = Object.values(BUILT_IN).map(({ schema }) => schema)
  const own = userDatasetNames(config).flatMap((name) => {
    try {
      return readUserDataset(join(datasetFolder, `${name}.yaml`)).schema
    } catch (error) {
      if (error instanceof UserError) return []
      throw error
    }
  })
  const ids = [...builtIn, ...own].map(({ id = DEFAULT_ID }) => id)
  return [...new Set([DEFAULT_ID, ...ids].map(({ column }) => column))]
}
