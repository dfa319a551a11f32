import { basename, join, resolve } from 'node:path'
import { Command } from 'commander'
import { environmentWith, loadConfig } from '../../configs/config.ts'
import { findProject } from '../../configs/project.ts'
import { UserError } from '../../configs/user-error.ts'
import type { GivenRoles, Guess } from '../../datasets/guess/roles.ts'
import type { ColumnEntity, DatasetSchema } from '../../datasets/table/dataset.ts'
import { withNext } from '../console/command-line.ts'
import { action, example, type Context } from '../console/command.ts'
import { count, pairs, type Output } from '../console/output.ts'
import { datasetFile } from './dataset-file.ts'
import { featuresFile } from './features-file.ts'
import { projectFiles } from './project-files.ts'
import { lookAtTable } from './table.ts'
import { plainName } from './words.ts'
import { pathFrom, writeFiles, type Written } from './write.ts'

interface InitOptions extends GivenRoles {
  from?: string
  name?: string
  yes?: boolean
}

export function initCommand(): Command {
  return example(
    new Command('init')
      .description('make a project of your own: a folder with your data, features and settings')
      .argument('<dir>', 'the folder; a project that is there gets another dataset')
      .option('--from <file>', 'your table: CSV (also gzipped or zipped) or Parquet')
      .option('--name <name>', "name of the dataset and its features (default: the file's)")
      .option('--id <column>', 'id of a transaction, or none')
      .option('--time <column>', 'when it was, or none')
      .option('--amount <column>', 'its amount')
      .option('--label <column>', 'whether it was fraud, or none')
      .option('--entity <name=column>', 'whose history counts; the first is in every row (repeatable)', gather)
      .option('--yes', 'ask nothing on a terminal: take what the file looks like'),
    'fd init shop --from payments.csv',
    'fd init shop --from payments.csv --time paid_at --entity card=card_id --entity merchant=shop_no',
  ).action(action(init))
}

function gather(text: string, gathered: string[] = []): string[] {
  return [...gathered, text]
}

/** A project without data: folders for them, which git keeps. */
const FOLDERS = { 'datasets/.gitkeep': '', 'features/.gitkeep': '' }

async function init({ output, fd }: Context, options: InitOptions, dir: string): Promise<void> {
  const root = resolve(dir)
  const above = findProject(root)
  if (above !== undefined && above !== root) {
    throw new UserError(`${root} lies in the project ${above}. Add a dataset to that one: fd init ${above} --from FILE`)
  }
  const next = (...words: Parameters<Context['fd']>): string =>
    fd(...words, { project: findProject(process.cwd()) === root ? undefined : dir })
  if (options.from !== undefined) return initFrom({ root, next }, output, options, options.from)
  const result = writeFiles(root, { ...projectFiles(root), ...FOLDERS }, [])
  output.result({ project: root, ...result }, () =>
    withNext(filesText(root, result), fd('init', dir, { from: 'FILE' })),
  )
}

interface Place {
  root: string
  /** A command to propose, which finds the project. */
  next: Context['fd']
}

async function initFrom({ root, next }: Place, output: Output, options: InitOptions, from: string): Promise<void> {
  const name = await datasetName(options.name ?? plainName(basename(from)))
  const { guess, rows, frauds, changes } = await lookAtTable(
    from,
    options,
    options.yes !== true && !output.json,
    output,
  )
  const [yaml, code] = [join('datasets', `${name}.yaml`), join('features', `${name}.ts`)]
  const files = {
    ...projectFiles(root),
    [yaml]: datasetFile(name, pathFrom(root, from), guess, changes),
    [code]: featuresFile({ name, guess, frauds }),
  }
  const result = writeFiles(root, files, [yaml, code])
  const features = await checkWritten(name, root)
  const { schema, unused } = guess
  output.result({ project: root, name, ...result, rows, schema, unused, changes, features }, () =>
    withNext(
      [
        `${count(rows)} rows of ${from}:`,
        rolesText(guess, features),
        ...notesText(guess, changes),
        filesText(root, result),
      ].join('\n\n'),
      next('datasets', 'describe', name),
    ),
  )
}

/** @throws UserError for a name that cannot be one, or that something of fd or of the project has. */
async function datasetName(name: string): Promise<string> {
  if (name === '' || plainName(name) !== name) {
    throw new UserError(`"${name}" is no name: small letters, digits and "-". Give one: --name shop`)
  }
  const [{ isBuiltIn }, { featureServices }, { ATTRIBUTES }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../features/definition/attributes.ts'),
  ])
  if (!isBuiltIn(name) && ![...featureServices.map((each) => each.name), ATTRIBUTES].includes(name)) return name
  throw new UserError(
    `"${name}" comes with fd, which has a dataset or features of that name. Give another: --name my-${name}`,
  )
}

/** Loads what was written, as the next command will. @returns how many features there are. */
async function checkWritten(name: string, root: string): Promise<number> {
  const [{ openDataset }, { featureService }, { featureNames }, { checkService }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../features/catalog.ts'),
    import('../../features/view/view.ts'),
    import('../../features/view/service-check.ts'),
  ])
  const config = loadConfig(undefined, environmentWith({ FD_PROJECT: root }))
  const { schema } = await openDataset(name, config)
  const service = featureService(name, schema, config)
  checkService(service, schema, name)
  return featureNames(service).length
}

function rolesText({ schema, time }: Guess, features: number): string {
  const span = time === undefined ? '' : `, ${instantDay(time.from)} to ${instantDay(time.to)}`
  const entities = schema.entities.map(({ name, column, optional }: ColumnEntity) => {
    return `${name} (${column}${optional === true ? ', may be blank' : ''})`
  })
  const entries: [string, string][] = [
    ['id', schema.id?.column ?? "none: the row's number"],
    ['time', schema.time === 'none' ? 'none' : `${schema.time.column} (${formText(schema.time)})${span}`],
    ['amount', `${schema.amount.column} (${schema.amount.minorUnits} decimals)`],
    ['label', schema.label?.column ?? 'none'],
    ['entities', entities.join(', ') || 'none'],
    ['numeric', `${schema.numeric.length} columns`],
    ['categorical', `${schema.categorical.length} columns`],
    ['features', `${features}`],
  ]
  return pairs(entries)
}

function formText({ unit, format }: { unit: string; format?: string }): string {
  return format ?? unit
}

function instantDay(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}

/** What a person should look at. */
function notesText({ schema, time, unused }: Guess, changes: readonly string[]): string[] {
  const notes = [
    ...changes,
    ...(time?.madeUp === true
      ? ['Times are counted from a start that the file does not say; 2020-01-01 stands for it.']
      : []),
    ...(time?.ordered === false ? ['Rows are not in order of time: give --sort to backfill, train and produce.'] : []),
    ...(schema.label === undefined
      ? ['No label: only isolation and autoencoder can be trained, and nothing is judged.']
      : []),
    ...cardColumns(schema).map(
      (column) =>
        `${column} holds card numbers, which are kept as keyed tokens alone (token: true): set FD_TOKEN_KEY to a ` +
        'secret of at least 16 characters before the next command.',
    ),
    ...(schema.entities.length === 0 ? ['No entity: name whose history counts with --entity card=COLUMN.'] : []),
    ...(unused.length === 0 ? [] : [`${unused.length} of the columns have no role; the YAML says why.`]),
  ]
  return notes.length === 0 ? [] : [notes.map((note) => `- ${note}`).join('\n')]
}

function cardColumns({ entities }: DatasetSchema): string[] {
  return entities.flatMap((entity) => ('column' in entity && entity.token === true ? [entity.column] : []))
}

function filesText(root: string, { written, kept }: Written): string {
  const lines = written.map((name) => `  ${join(root, name)}`)
  const left = kept.length === 0 ? [] : [`Left as they are: ${kept.join(', ')}`]
  return ['Written:', ...lines, ...left].join('\n')
}
