import type { EventLog } from '../../datasets/log/event-log.ts'
import type { Dataset, DatasetSchema } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, type DurationMs, type EpochMs } from '../../datasets/table/transaction.ts'
import { backfill } from '../backfill/backfill.ts'
import { planChain, stageFold, type Stage } from '../chain/chain.ts'
import { Seam } from '../chain/seam.ts'
import { origins, placesOf, stageReader, type StageInput } from '../chain/stage-record.ts'
import type { FeatureMatrix } from '../fold/fold-output.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { isSameCategory } from '../view/category.ts'
import { categoryColumns, featureNames, type FeatureService } from '../view/view.ts'
import { Continuation } from './continuation.ts'
import type { Difference, ParityReport } from './report.ts'
import { passedOn, servedFeatures, type Origin, type Placed, type Served } from './served.ts'

/** A base as parity folds it again. */
export interface ParityBase {
  version: number
  /** The history that was backfilled; without it the fold starts empty. */
  history?: { dataset: Dataset; until?: EpochMs; sort?: boolean; fileDigest?: string }
}

/** For each origin of predictions: the base that they are compared on, or why they cannot be compared. */
export type Coverage = ReadonlyMap<Origin, ParityBase | string>

export interface ParityRequest {
  log: EventLog
  /** The topics of the transactions and of the predictions that were served for them. */
  input: string
  served: string
  group: string
  service: FeatureService
  schema: DatasetSchema
  /** Says on which bases the predictions are compared. Default: all on an empty one. */
  cover?: (origins: readonly Origin[]) => Promise<Coverage>
  /**
   * The input offsets to compare in every partition, `from` included, `to` excluded. What stands before `from` is
   * folded all the same.
   */
  from?: number
  to?: number
  /** How far a transaction may lie ahead of its record's timestamp, as the scorer had it. Default: an hour. */
  maxAhead?: DurationMs
  /** For how long ids are remembered, as the scorer had it (`stageFold`). Default: not at all. */
  rememberIds?: DurationMs
  /** Called after each batch with the number of transactions compared so far. */
  report?: (transactions: number) => void
}

const SHOWN = 20

/** The seam as parity has it: the fold holds history already, and what the log has was decided. */
const BEHIND = { base: { watermark: -Infinity }, begun: true }

/**
 * Recomputes the features of a stretch of the log in batch, from the raw history and the raw log, and compares them bit
 * by bit with what the scorer logged. It uses no stored state. So it finds out a scorer that lost or repeated an event
 * at a restart, or when a partition moved.
 *
 * Each stage is proven by itself, on the topic it reads. Its columns are folded again, one partition after the other,
 * and compared with the predictions, whatever the stages between have carried. Each of its records must also have come
 * to the next stage. A key that stands in two partitions of a topic is one entity here, so what was served for it will
 * differ.
 *
 * @throws UserError when a topic is missing, or holds a record that is no prediction or no record of a stage.
 */
export async function verifyParity(request: ParityRequest): Promise<ParityReport> {
  const { log, service, schema, group } = request
  const names = featureNames(service)
  const chain = planChain(service, schema, await log.topic(request.input), group)
  const categories = new Set(categoryColumns(service, schema).map(({ feature }) => feature))
  const served = await servedFeatures(log, request.served, group, names, categories)
  const coverage = await (request.cover ?? onNothing)(served.origins)
  const report = emptyReport(coverage)
  report.duplicates += served.duplicates
  const passed = await Promise.all(chain.slice(1).map(({ topic }) => passedOn(log, topic)))
  for (const { duplicates } of passed) report.duplicates += duplicates
  const bases = new Set([...coverage.values()].filter((base) => typeof base !== 'string'))
  for (const base of bases.size === 0 ? [EMPTY_BASE] : bases) {
    const history = await foldHistory(request, base)
    for (const [n, stage] of chain.entries()) {
      const handedOn = passed.at(n) ?? served
      await compareStage({ request, stage, names, categories, history, served, handedOn, report, coverage, base })
    }
  }
  return report
}

const EMPTY_BASE: ParityBase = { version: 0 }

async function onNothing(origins: readonly Origin[]): Promise<Coverage> {
  return new Map(origins.map((origin) => [origin, EMPTY_BASE]))
}

function emptyReport(coverage: Coverage): ParityReport {
  const uncovered = [...coverage].flatMap(([{ predictions }, reason]) =>
    typeof reason === 'string' ? [{ predictions, reason }] : [],
  )
  const counts = { transactions: 0, values: 0, differences: 0, duplicates: 0, missing: 0, repeats: 0 }
  return { ...counts, firstDifferences: [], bases: [], ranges: [], lacking: [], uncovered }
}

async function foldHistory({ service, schema }: ParityRequest, { history }: ParityBase): Promise<ServiceFold> {
  if (history === undefined) return new ServiceFold(service, schema)
  const { dataset, until, sort = false } = history
  const { fold } = await backfill(dataset, service, [], { sort, ...(until === undefined ? {} : { until }) })
  return fold
}

interface Comparison {
  request: ParityRequest
  stage: Stage
  names: string[]
  /** The features that are categories. */
  categories: ReadonlySet<number>
  /** The fold of the base's history. Every stage goes on from its views. */
  history: ServiceFold
  served: Served
  /** Where the stage's records went: to the next stage, or from the last one into predictions. */
  handedOn: Placed
  report: ParityReport
  coverage: Coverage
  /** The base under the fold. Only records that were handled on it are compared. */
  base: ParityBase
}

async function compareStage(comparison: Comparison): Promise<void> {
  const { request, stage, names, history, report, base } = comparison
  const { log, service, schema } = request
  const read = stageReader(schema, names.length, stage.entity === undefined, request.maxAhead)
  const { offsets } = await log.topic(stage.topic)
  const continuation = new Continuation(base.history?.until ?? Infinity)
  for (const partition of offsets.keys()) {
    // Ids are remembered by partition, since the log's key has one.
    const fold = stageFold(stage, service, schema, request.rememberIds, history)
    const seam = new Seam({ ...BEHIND, group: request.group })
    const count = continuation.partition()
    const last = await lastHandedOn(comparison, partition)
    for await (const records of log.read(stage.topic, partition)) {
      const input = read(records)
      const { decoded, earlier } = input
      fold.prepare(decoded.events)
      seam.join(input, fold, Infinity)
      if (stage.entity === undefined) {
        report.repeats += repeatsOf(comparison, input)
        count(decoded)
      }
      compareBatch(comparison, input, fold.columns, fold.fold(decoded.events, earlier, placesOf(input)), last)
      request.report?.(report.transactions)
    }
  }
  // A log whose oldest records were deleted no longer shows what it had.
  const whole = stage.entity === undefined && offsets.every(({ start }) => start === 0)
  const lacking = whole && base.history !== undefined && (await continuation.lacking(base.history))
  if (lacking) report.lacking.push(lacking)
}

/**
 * The last offset of a stage's partition that was handed on, −1 when none was. Everything before it must have been
 * handed on too.
 */
async function lastHandedOn({ request, stage, handedOn }: Comparison, partition: number): Promise<number> {
  if (stage.entity === undefined) return handedOn.last(partition)
  let last = -1
  for await (const records of request.log.read(stage.topic, partition)) {
    const { partitions, offsets } = origins(records)
    for (let i = 0; i < records.size; i++) if (handedOn.has(partitions[i], offsets[i])) last = records.offsets[i]
  }
  return last
}

/** @param columns that the stage computes. */
function compareBatch(
  comparison: Comparison,
  input: StageInput,
  columns: number[],
  matrix: FeatureMatrix,
  last: number,
): void {
  const { request, stage, names, categories, served, handedOn, report } = comparison
  const { from = 0, to = Infinity } = request
  const { events, index } = input.decoded
  // The last stage makes no prediction of a label, but every stage passes labels on to the next.
  const labelsToo = handedOn !== served
  let k = 0
  for (let row = 0; row < events.size; row++) {
    const i = index[row]
    const [partition, offset] = [input.partitions[i], input.offsets[i]]
    const label = events.kind[row] === FRAUD_LABEL
    const asked = offset >= from && offset < to && isOn(comparison, partition, offset)
    const due = asked && (!label || labelsToo) && input.records.offsets[i] <= last
    if (due && !handedOn.has(partition, offset)) report.missing++
    if (label) continue
    const values = asked ? served.row(partition, offset) : undefined
    if (values !== undefined) {
      if (stage.entity === undefined) cover(comparison, partition, offset, events.time[row])
      const where = { partition, offset, transactionId: events.ids[row] }
      const recomputed = matrix.values.subarray(k * names.length, (k + 1) * names.length)
      compareRow(where, { names, categories, columns }, recomputed, values, report)
    }
    k++
  }
}

function repeatsOf(comparison: Comparison, { decoded, partitions, offsets }: StageInput): number {
  const repeats = decoded.rejected.filter(({ kind }) => kind === 'duplicate')
  return repeats.filter(({ index }) => isOn(comparison, partitions[index], offsets[index])).length
}

/** Whether a record was handled on the base of this comparison. Where there is no prediction at all, on any. */
function isOn({ served, coverage, base }: Comparison, partition: number, offset: number): boolean {
  const origin = served.origin(partition, offset)
  return origin === undefined || coverage.get(origin) === base
}

/** Counts a transaction that is compared. */
function cover({ report, base }: Comparison, partition: number, offset: number, time: EpochMs): void {
  report.transactions++
  const { version, history } = base
  let covered = report.bases.find((known) => known.version === version)
  if (covered === undefined) {
    const { until, fileDigest } = history ?? {}
    covered = {
      version,
      ...(until === undefined ? {} : { until }),
      ...(fileDigest ? { fileDigest } : {}),
      transactions: 0,
    }
    report.bases.push(covered)
  }
  covered.transactions++
  let range = report.ranges.find((known) => known.partition === partition)
  if (range === undefined)
    report.ranges.push((range = { partition, from: offset, to: offset, since: time, until: time }))
  range.from = Math.min(range.from, offset)
  range.to = Math.max(range.to, offset)
  range.since = Math.min(range.since, time)
  range.until = Math.max(range.until, time)
}

function compareRow(
  where: Pick<Difference, 'partition' | 'offset' | 'transactionId'>,
  { names, categories, columns }: Pick<Comparison, 'names' | 'categories'> & { columns: number[] },
  recomputed: Float64Array,
  served: Float64Array,
  report: ParityReport,
): void {
  report.values += columns.length
  for (const f of columns) {
    if (Object.is(recomputed[f], served[f])) continue
    if (categories.has(f) && isSameCategory(recomputed[f], served[f])) continue
    report.differences++
    if (report.firstDifferences.length < SHOWN)
      report.firstDifferences.push({ ...where, feature: names[f], served: served[f], recomputed: recomputed[f] })
  }
}
