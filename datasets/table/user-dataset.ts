import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import type { Config } from '../../configs/config.ts'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { duration } from '../../configs/duration.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { Dataset, DatasetSchema, SplitRule } from './dataset.ts'
import { fileDataset, locateFile } from './file-dataset.ts'
import { parseTime, TIME_FORM, TIME_UNITS } from './time.ts'

/** Where users describe their own tables, each in a YAML file. `example.yaml` shows the form and is no dataset. */
export const DATASET_FOLDER = join(PROJECT_ROOT, 'configs', 'datasets')
const EXAMPLE = 'example'

/** ISO 8601 → EpochMs; UTC without an offset. */
const instant = z
  .string()
  .transform(parseTime)
  .refine((time) => time >= 0, `give ${TIME_FORM}`)

const key = { column: z.string(), type: z.enum(['integer', 'string']) }
const days = z.number().int().positive()

const entity = z
  .strictObject({ name: z.string(), ...key, token: z.boolean().optional() })
  .refine(({ type, token }) => token !== true || type === 'string', 'a token is text: give type: string')

/** The columns of the label say what a model is to find out, so it may not read them. */
function readsLabel({ label, numeric, categorical }: z.infer<typeof roles>): string | undefined {
  return [...numeric, ...categorical].find((column) => column === label?.column || column === label?.knownAt)
}

const roles = z.strictObject({
  id: z.strictObject(key).optional(),
  time: z.strictObject({ column: z.string(), unit: z.enum(TIME_UNITS), origin: instant.optional() }),
  amount: z.strictObject({ column: z.string(), minorUnits: z.number().int().min(0).max(6) }),
  label: z
    .strictObject({ column: z.string(), delay: duration.optional(), knownAt: z.string().optional() })
    .refine((label) => label.delay === undefined || label.knownAt === undefined, 'give delay or knownAt, not both')
    .optional(),
  entities: z.array(entity).default([]),
  numeric: z.array(z.string()).default([]),
  categorical: z.array(z.string()).default([]),
})

const tableSchema = roles.refine((schema) => readsLabel(schema) === undefined, {
  error: ({ input }) =>
    `the column ${readsLabel(input as z.infer<typeof roles>)} is the label, so it can be no feature: a model would ` +
    'read the answer. Leave it out of numeric and categorical',
})

const splitRule = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('ordered'), trainShare: z.number().gt(0).lt(1) }),
  z.strictObject({
    kind: z.literal('delayed'),
    trainFrom: instant,
    trainDays: days,
    delayDays: z.number().int().min(0),
    testDays: days,
    cardEntity: z.string(),
  }),
])

const datasetYaml = z
  .strictObject({
    description: z.string().default(''),
    path: z.string().optional(),
    service: z.string(),
    split: splitRule.default({ kind: 'ordered', trainShare: 0.7 }),
    schema: tableSchema,
  })
  .refine(
    ({ split, schema }) =>
      split.kind === 'ordered' || schema.entities.some((entity) => entity.name === split.cardEntity),
    {
      path: ['split', 'cardEntity'],
      error: 'name one of the schema’s entities',
    },
  )

/** The content of one YAML file in the folder. */
export interface UserDataset {
  description: string
  path?: string
  service: string
  split: SplitRule
  schema: DatasetSchema
}

/** Names of the user's datasets, sorted: the YAML files of the folder except `example.yaml`. */
export function userDatasetNames(folder: string): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .filter((name) => name !== EXAMPLE)
    .toSorted()
}

/**
 * A dataset by its YAML file. Its table is `data`, else the configured path, else the YAML's `path`, which is relative
 * to the project.
 *
 * @throws UserError when the YAML is not valid (key and value given), or there is no table.
 */
export function userDataset(name: string, config: Config, data: string | undefined, folder: string): Dataset {
  const yaml = join(folder, `${name}.yaml`)
  const { path, ...description } = readUserDataset(yaml)
  const usual = path === undefined ? undefined : resolve(PROJECT_ROOT, path)
  const file = locateFile(name, config, data, usual)
  if (file === undefined) {
    const problem = usual === undefined ? '' : `: there is no ${usual}`
    throw new UserError(`The dataset ${name} has no file${problem}. Give --data FILE, or set \`path\` in ${yaml}.`)
  }
  return fileDataset({ name, ...description }, file, config.tokenKey === undefined ? {} : { tokenKey: config.tokenKey })
}

/** Reads and checks one YAML file. @throws UserError with the key and what is wrong with it. */
export function readUserDataset(yaml: string): UserDataset {
  let content: unknown
  try {
    content = parse(readFileSync(yaml, 'utf8'))
  } catch (error) {
    throw new UserError(`${yaml} is not YAML: ${errorMessage(error)}`, { cause: error })
  }
  const result = datasetYaml.safeParse(content)
  if (!result.success) {
    throw new UserError(
      `${yaml} does not describe a dataset:\n${z.prettifyError(result.error)}\n` +
        'Mend it by the comments of configs/datasets/example.yaml.',
    )
  }
  return result.data
}
