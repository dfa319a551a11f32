import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { isNode, LineCounter, parseDocument, type Document } from 'yaml'
import { z } from 'zod'
import type { Config } from '../../configs/config.ts'
import { DATASET_FOLDER, PROJECT_ROOT } from '../../configs/config.ts'
import { duration } from '../../configs/duration.ts'
import { UserError } from '../../configs/user-error.ts'
import { type Dataset, type DatasetSchema, type EntityRole, mayLackKey, type SplitRule } from '../table/dataset.ts'
import { fileDataset, locateFile } from '../table/file-dataset.ts'
import { timeFormatFault } from '../table/time-format.ts'
import { isTimeZone } from '../table/time-zone.ts'
import { parseInstant, parseTime, TIME_FORM, TIME_UNITS } from '../table/time.ts'
import type { EpochMs } from '../table/transaction.ts'
import { roleFault } from './role-fault.ts'

/** Shows the form, and is no dataset. */
const EXAMPLE = 'example'

/** ISO 8601 → EpochMs; UTC without an offset. */
const instant = z
  .string()
  .transform((text) => parseTime(text))
  .refine((time) => time >= 0, `give ${TIME_FORM}`)

/** Times may be counted from before 1970. Years of two digits would be of the last century. */
const origin = z
  .string()
  .transform((text) => parseInstant(text))
  .refine((time) => time >= Date.UTC(1800, 0), `give ${TIME_FORM}`)

const key = { column: z.string(), type: z.enum(['integer', 'string']) }
const days = z.number().int().positive()

const entity = z
  .strictObject({ name: z.string(), ...key, token: z.boolean().optional(), optional: z.boolean().optional() })
  .refine(({ type, token }) => token !== true || type === 'string', 'a token is text: give type: string')

const compound = z.strictObject({ name: z.string(), of: z.array(z.string()) })

/** What has `of` is read as an entity of others: a union would say of either only that it is neither. */
const anyEntity = z.unknown().transform((value, context): EntityRole => {
  const read = typeof value === 'object' && value !== null && 'of' in value ? compound : entity
  const result = read.safeParse(value)
  if (result.success) return result.data
  for (const { message, ...issue } of result.error.issues) {
    const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]] : issue.path
    context.issues.push({ code: 'custom', path, message, input: value })
  }
  return z.NEVER
})

const timeColumn = z
  .strictObject({
    column: z.string(),
    unit: z.enum(TIME_UNITS),
    origin: origin.optional(),
    format: z
      .string()
      .refine((format) => timeFormatFault(format) === undefined, {
        error: ({ input }) => timeFormatFault(String(input)) ?? '',
      })
      .optional(),
    zone: z
      .string()
      .refine(isTimeZone, 'give a zone of the IANA database, such as Europe/Berlin or America/New_York')
      .optional(),
  })
  .refine(
    ({ unit, origin }) => unit !== 'timestamp' || origin === undefined,
    'an origin belongs to times that are counted: give unit: s, or another one',
  )
  .refine(
    ({ unit, format, zone }) => unit === 'timestamp' || (format === undefined && zone === undefined),
    'format and zone belong to times that are written: give unit: timestamp',
  )

const time = z.union([z.literal('none'), timeColumn], 'give the column and the unit of the times, or none')

/** The decimals are those of amounts. */
const decimalColumn = z.strictObject({ column: z.string(), decimals: z.number().int().min(0).max(6) })
const numericColumn = z.union([z.string(), decimalColumn], 'give a column, or { column: NAME, decimals: 2 }')

const roles = z.strictObject({
  id: z.strictObject(key).optional(),
  time,
  amount: z.strictObject({ column: z.string(), minorUnits: z.number().int().min(0).max(6) }),
  refunds: z.boolean().optional(),
  label: z
    .strictObject({ column: z.string(), delay: duration.optional(), knownAt: z.string().optional() })
    .refine((label) => label.delay === undefined || label.knownAt === undefined, 'give delay or knownAt, not both')
    .optional(),
  entities: z
    .array(anyEntity)
    .refine(([first]) => first === undefined || 'of' in first || first.optional !== true, {
      path: [0, 'optional'],
      error:
        'the key of the first entity divides the log, so every row needs one: put an entity first that all rows have',
    })
    .default([]),
  numeric: z.array(numericColumn).default([]),
  categorical: z.array(z.string()).default([]),
  missing: z
    .array(z.string('give text in quotes, such as "NULL" or "-1"').min(1, 'an empty cell is missing anyway'))
    .optional(),
  numbers: z
    .strictObject({ decimal: z.enum(['.', ',']).default('.'), thousands: z.enum(['.', ',', ' ', "'"]).optional() })
    .refine(({ decimal, thousands }) => decimal !== thousands, 'decimal and thousands must differ')
    .optional(),
})

/** What of a schema needs times, where it has none. */
function needsTime({ time, label }: DatasetSchema): string | undefined {
  if (time !== 'none') return undefined
  return (['delay', 'knownAt'] as const).find((key) => label?.[key] !== undefined)
}

/** The columns with their decimals apart. */
function withDecimals({ numeric, ...others }: z.infer<typeof roles>): DatasetSchema {
  const declared = numeric.filter((each) => typeof each !== 'string')
  const columns = numeric.map((each) => (typeof each === 'string' ? each : each.column))
  const decimals = Object.fromEntries(declared.map(({ column, decimals: places }) => [column, places]))
  return { ...others, numeric: columns, ...(declared.length === 0 ? {} : { decimals }) }
}

const tableSchema = roles
  .transform(withDecimals)
  .refine((schema) => roleFault(schema) === undefined, {
    error: ({ input }) => roleFault(input as DatasetSchema) ?? '',
  })
  .refine((schema) => needsTime(schema) === undefined, {
    path: ['label'],
    error: ({ input }) =>
      `${needsTime(input as DatasetSchema)} needs times, and this dataset has none: leave it out, then a ` +
      'label is known at once',
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
    until: instant.optional(),
    service: z.string(),
    split: splitRule.default({ kind: 'ordered', trainShare: 0.7 }),
    schema: tableSchema,
  })
  .refine(
    ({ split, schema }) =>
      split.kind === 'ordered' ||
      schema.entities.some((entity) => entity.name === split.cardEntity && !mayLackKey(schema, entity)),
    {
      path: ['split', 'cardEntity'],
      error: 'name one of the schema’s entities, whose key is not optional',
    },
  )
  .refine(({ split, schema }) => split.kind === 'ordered' || schema.time !== 'none', {
    path: ['split', 'kind'],
    error: 'this split counts days, and the dataset has no times: give { kind: ordered, trainShare: 0.7 }',
  })
  .refine(({ until, schema }) => until === undefined || schema.time !== 'none', {
    path: ['until'],
    error: 'times end there, and the dataset has no times: leave it out',
  })

/** The content of one YAML file in the folder. */
export interface UserDataset {
  description: string
  path?: string
  until?: EpochMs
  service: string
  split: SplitRule
  schema: DatasetSchema
}

/** Where a user's datasets are described. */
export type DatasetPlaces = Pick<Config, 'datasetFolder' | 'project'>

/**
 * Names of the user's datasets, sorted: the YAML files of the folder except `example.yaml`. A project need not have its
 * usual folder of datasets.
 *
 * @throws UserError when there is no such folder.
 */
export function userDatasetNames({ datasetFolder: folder, project }: DatasetPlaces): string[] {
  if (!existsSync(folder)) {
    if (project !== undefined && folder === join(project, 'datasets')) return []
    throw new UserError(
      `There is no folder ${folder} of datasets. Mend datasetFolder in the configuration, or make it.`,
    )
  }
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .filter((name) => name !== EXAMPLE)
    .toSorted()
}

/**
 * A dataset by its YAML file. Its table is `data`, else the configured path, else the YAML's `path`, which is relative
 * to the user's project, to fd's folder where the dataset comes with fd, else to the YAML's own folder.
 *
 * @throws UserError when the YAML is not valid (key and value given), or there is no table.
 */
export function userDataset(name: string, config: Config, data: string | undefined): Dataset {
  const folder = config.datasetFolder
  const yaml = join(folder, `${name}.yaml`)
  const { path, ...description } = readUserDataset(yaml)
  const usual = path === undefined ? undefined : resolve(baseOf(config), path)
  const file = locateFile(name, config, data, usual)
  if (file === undefined) {
    const problem = usual === undefined ? '' : `: there is no ${usual}`
    throw new UserError(`The dataset ${name} has no file${problem}. Give --data FILE, or set \`path\` in ${yaml}.`)
  }
  const { tokenKey, scorer } = config
  const options = { maxAhead: scorer.maxAhead, ...(tokenKey === undefined ? {} : { tokenKey }) }
  return fileDataset({ name, ...description }, file, options)
}

function baseOf({ project, datasetFolder }: Config): string {
  if (datasetFolder === DATASET_FOLDER) return PROJECT_ROOT
  return project !== undefined && dirname(datasetFolder) === project ? project : datasetFolder
}

/** Reads and checks one YAML file. @throws UserError with the line, the key, and what is wrong with it. */
export function readUserDataset(yaml: string): UserDataset {
  const lines = new LineCounter()
  const document = parseDocument(readFileSync(yaml, 'utf8'), { lineCounter: lines })
  const [fault] = document.errors
  if (fault !== undefined) throw new UserError(`${yaml} is not YAML: ${fault.message}`, { cause: fault })
  const result = datasetYaml.safeParse(document.toJS())
  if (result.success) return result.data
  const issues = result.error.issues.flatMap(plainIssues).map((issue) => {
    const path = issue.path.filter((key) => typeof key !== 'symbol')
    const line = lineOf(document, lines, issue.code === 'unrecognized_keys' ? [...path, issue.keys[0]] : path)
    return `  line ${line}${path.length === 0 ? '' : `, ${path.join('.')}`}: ${issue.message}`
  })
  throw new UserError(
    `${yaml} does not describe a dataset:\n${issues.join('\n')}\n` +
      'Mend it by the comments in it, or in configs/datasets/example.yaml of fd.',
  )
}

/** The issues within an object that stands where something else may stand too; of any other value the one issue. */
function plainIssues(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  const within = issue.code === 'invalid_union' ? issue.errors.at(-1) : undefined
  if (within === undefined || within.some(({ code }) => code === 'invalid_type')) return [issue]
  return within.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
}

/** The line, from 1, of the value at a path, or of the nearest one above it that is there. */
function lineOf(document: Document.Parsed, lines: LineCounter, path: (string | number)[]): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return 1
}
