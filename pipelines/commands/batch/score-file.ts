import { resolve } from 'node:path'
import type { Config } from '../../../configs/config.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { TableCells } from '../../../datasets/frame/table-cells.ts'
import type { Dataset } from '../../../datasets/table/dataset.ts'
import type { ModelCard } from '../../../registry/model-card.ts'
import type { Registry } from '../../../registry/registry.ts'
import type { Champion } from '../../../serving/model/champion.ts'
import type { OfflineScores } from '../../../serving/offline/offline-scorer.ts'
import { sameCommand, withNext } from '../../console/command-line.ts'
import { stoppable, stopSignal, type Context } from '../../console/command.ts'
import { modelName } from '../../console/model-name.ts'
import { outFile } from '../../console/out-file.ts'
import { count, pairs } from '../../console/output.ts'
import { openRegistry } from '../../console/parts.ts'

/** The options of `fd score`, of the stream and of a file. */
export interface ScoreOptions {
  model?: string
  alias: string
  file?: string
  history?: string
  out?: string
  sort?: boolean
  group?: string
  metrics?: number
  untilIdle?: boolean
}

/** Whether a file is to be scored, and not the stream. @throws UserError for options that do not go together. */
export function scoresFile(options: ScoreOptions): boolean {
  const { file, out } = options
  if (file === undefined) {
    const option = (['out', 'history', 'sort'] as const).find((name) => options[name] !== undefined)
    if (option === undefined) return false
    throw new UserError(`--${option} is for the scores of a file. Add: --file FILE`)
  }
  const [option] = [
    ...(options.group === undefined ? [] : ['group']),
    ...(options.metrics === undefined ? [] : ['metrics']),
    ...(options.untilIdle === undefined ? [] : ['until-idle']),
  ]
  if (option !== undefined) throw new UserError(`--${option} is for the stream, and --file needs none. Leave it out.`)
  if (out === undefined) throw new UserError('Say where the scores go: --out FILE.parquet, or .csv or .csv.gz.')
  return true
}

/** Scores the rows of a file and writes them beside its columns. */
export async function scoreFile(
  { config, output, fd }: Pick<Context, 'config' | 'output' | 'fd'>,
  options: ScoreOptions,
): Promise<void> {
  const { file = '', out: outOption = '' } = options
  const [{ tableFormat }, { readTableCells }, { scoreOffline }] = await Promise.all([
    import('../../../datasets/table/parquet.ts'),
    import('../../../datasets/frame/table-cells.ts'),
    import('../../../serving/offline/offline-scorer.ts'),
  ])
  const out = outFile(outOption, config.home)
  tableFormat(out)
  if (resolve(file) === out) throw new UserError(`--out ${out} is the file that is scored. Name another file.`)
  await using registry = await openRegistry(config)
  await using champion = await judgeOf(registry, options, fd)
  const started = performance.now()
  const cells = await namingOption('--file', () => readTableCells(file))
  const transactions = await namingOption('--file', () => datasetOf(champion.card, file, cells, config))
  const history = options.history === undefined ? undefined : await historyOf(champion.card, options.history, config)
  const state = `Nothing was written. To score, run: ${sameCommand()}`
  const progress = stoppable(output.progress, stopSignal(), state)('score', await rowsOf(transactions, history))
  const report = progress.update
  const { sort } = options
  const found = await namingOption('--file', () => scoreOffline({ champion, transactions, history, sort, report }))
  progress.end()
  const columns = await writeScores(out, cells, champion, found)
  const seconds = (performance.now() - started) / 1000
  for (const note of notes(found, options)) output.note(note)
  const { name, version, threshold } = champion
  const { scores: _, ...counts } = found
  const document = { ...counts, model: { name, version }, threshold: threshold.value, out, columns, seconds }
  output.result(document, () => withNext(describe(document), fd('models', 'threshold', name, version)))
}

/** The version that `--model NAME/VERSION` says, else the one of the alias. */
async function judgeOf(registry: Registry, { model, alias }: ScoreOptions, fd: Context['fd']): Promise<Champion> {
  const { loadVersion } = await import('../../../serving/model/champion.ts')
  const [, named, version] = /^(.+)\/([1-9]\d{0,14})$/.exec(model ?? '') ?? []
  if (named !== undefined) return loadVersion(registry, named, Number(version))
  const name = await modelName(registry, model, (one) => fd('score', { model: one, file: 'FILE', out: 'FILE.parquet' }))
  return loadVersion(registry, name, (await registry.getModelVersionByAlias(name, alias)).version)
}

/** Errors of tables propose another file by the option of datasets. */
async function namingOption<T>(option: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof UserError) || !error.message.includes('--data FILE')) throw error
    throw new UserError(error.message.replaceAll('--data FILE', `${option} FILE`), { cause: error })
  }
}

async function historyOf(card: ModelCard, file: string, config: Config): Promise<Dataset> {
  const [{ requireTimes }, { readTableCells }] = await Promise.all([
    import('../../../datasets/table/dataset.ts'),
    import('../../../datasets/frame/table-cells.ts'),
  ])
  requireTimes({ name: card.dataset.name, schema: card.dataset.schema }, { history: true })
  return namingOption('--history', async () => datasetOf(card, file, await readTableCells(file), config))
}

/** A file as a dataset in the form that the model was trained on. Labels may be missing: then no fraud is known. */
async function datasetOf(card: ModelCard, file: string, { columns }: TableCells, config: Config): Promise<Dataset> {
  const [{ fileDataset }, { END_OF_TIME }] = await Promise.all([
    import('../../../datasets/table/file-dataset.ts'),
    import('../../../datasets/table/time.ts'),
  ])
  const { label, ...rest } = card.dataset.schema
  const schema = label !== undefined && columns.includes(label.column) ? { ...rest, label } : rest
  const split = { kind: 'ordered', trainShare: 0.5 } as const
  const description = { name: card.dataset.name, description: '', schema, service: card.service.name, split }
  const { tokenKey, scorer } = config
  const reading = { maxAhead: scorer.maxAhead, ...(tokenKey === undefined ? {} : { tokenKey }) }
  // What lies ahead of the clock makes nothing late here: no row stands before one that is older.
  return fileDataset({ ...description, until: END_OF_TIME }, resolve(file), reading)
}

async function rowsOf(transactions: Dataset, history: Dataset | undefined): Promise<number> {
  return (await transactions.count()) + (history === undefined ? 0 : await history.count())
}

/** Rows that are written at once. */
const ROWS_AT_ONCE = 65_536

/** Writes the file's columns, then score, alert, threshold and version. Resolves to the names of these four. */
async function writeScores(
  out: string,
  cells: TableCells,
  { threshold, version }: Champion,
  { scores }: OfflineScores,
): Promise<string[]> {
  const [{ openTableWriter }, { decide }] = await Promise.all([
    import('../../../datasets/table/parquet.ts'),
    import('../../../serving/prediction.ts'),
  ])
  const taken = new Set(cells.columns.map((name) => name.toLowerCase()))
  const names = ['score', 'alert', 'threshold', 'version'].map((name) => {
    let free = name
    while (taken.has(free)) free = `fd_${free}`
    return free
  })
  await using writer = await openTableWriter(
    out,
    names.map((name, n) => ({ name, type: (['DOUBLE', 'UTINYINT', 'DOUBLE', 'INTEGER'] as const)[n] })),
    cells,
  )
  for (let from = 0; from < scores.length; from += ROWS_AT_ONCE) {
    const some = scores.subarray(from, from + ROWS_AT_ONCE)
    const alerts = Uint8Array.from(some, (score) => Number(decide(score, threshold.value) === 'alert'))
    const [thresholds, versions] = [new Float64Array(some.length), new Int32Array(some.length)]
    writer.append([some, alerts, thresholds.fill(threshold.value), versions.fill(version)], some.length)
  }
  await writer.close()
  return names
}

function notes({ truncated, history }: OfflineScores, options: ScoreOptions): string[] {
  return [
    ...(history.left === 0
      ? []
      : [
          `${count(history.left)} transactions of ${options.history} are not from before the first of ` +
            `${options.file}: they were left out.`,
        ]),
    ...(truncated === 0
      ? []
      : [`${count(truncated)} transactions are of a key with more events than a view keeps: windows lack some.`]),
  ]
}

interface Summary extends Omit<OfflineScores, 'scores'> {
  model: { name: string; version: number }
  threshold: number
  out: string
  seconds: number
}

function describe({ scored, alerts, history, model, threshold, out, seconds }: Summary): string {
  return pairs([
    ['model', `${model.name} version ${model.version}`],
    ...(history.transactions === 0 ? [] : [['transactions of the history', history.transactions] as [string, number]]),
    ['scored', scored],
    ['alerts', alerts],
    ['threshold', threshold],
    ['transactions a second', Math.round((scored + history.transactions) / seconds)],
    ['rows and scores', out],
  ])
}
