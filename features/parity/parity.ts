import type { EventLog } from '../../datasets/log/event-log.ts'
import type { Dataset, DatasetSchema } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, type DurationMs, type EpochMs } from '../../datasets/table/transaction.ts'
import { backfill } from '../backfill/backfill.ts'
import { planChain, type Stage } from '../chain/chain.ts'
import { Seam } from '../chain/seam.ts'
import { origins, stageReader, type StageInput } from '../chain/stage-record.ts'
import { ServiceFold, type FeatureMatrix } from '../fold/service-fold.ts'
import { featureNames, type FeatureService } from '../view/view.ts'
import { passedOn, servedFeatures, type Placed, type Served } from './served.ts'

/** A value that was served and differs from what batch computes. */
export interface Difference {
  partition: number
  offset: number
  transactionId: number | string
  feature: string
  served: number | null | undefined
  recomputed: number | null
}

export interface ParityReport {
  /** Transactions whose served values were compared. */
  transactions: number
  /** Feature values compared. */
  values: number
  differences: number
  /** The first 20 of them. */
  firstDifferences: Difference[]
  /** How many offsets have more than one prediction of the group, or were passed on between stages more than once. */
  duplicates: number
  /** How many offsets have no prediction, or were not passed on, although later ones of their partition were. */
  missing: number
}

export interface ParityRequest {
  log: EventLog
  /** The topics of the transactions and of the predictions that were served for them. */
  input: string
  served: string
  group: string
  service: FeatureService
  schema: DatasetSchema
  /** The history that was backfilled before the log began; without it the fold starts empty. */
  history?: { dataset: Dataset; until?: EpochMs }
  /**
   * The input offsets to compare in every partition, `from` included, `to` excluded. What stands before `from` is
   * folded all the same.
   */
  from?: number
  to?: number
  /** How far a transaction may lie ahead of its record's timestamp, as the scorer had it. Default: an hour. */
  maxAhead?: DurationMs
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
  const history = await foldHistory(request)
  const report: ParityReport = {
    transactions: 0,
    values: 0,
    differences: 0,
    firstDifferences: [],
    duplicates: 0,
    missing: 0,
  }
  const chain = planChain(service, schema, await log.topic(request.input), group)
  const served = await servedFeatures(log, request.served, group, names)
  report.duplicates += served.duplicates
  for (const [n, stage] of chain.entries()) {
    const next = chain.at(n + 1)
    const handedOn = next === undefined ? served : await passedOn(log, next.topic)
    if (next !== undefined) report.duplicates += handedOn.duplicates
    await compareStage({
      request,
      stage,
      names,
      fold: new ServiceFold(service, schema, { views: stage.views, from: history }),
      served,
      handedOn,
      report,
    })
  }
  return report
}

async function foldHistory({ service, schema, history }: ParityRequest): Promise<ServiceFold> {
  if (history === undefined) return new ServiceFold(service, schema)
  const { dataset, until } = history
  const { fold } = await backfill(dataset, service, [], until === undefined ? {} : { until })
  return fold
}

interface Comparison {
  request: ParityRequest
  stage: Stage
  names: string[]
  fold: ServiceFold
  served: Served
  /** Where the stage's records went: to the next stage, or from the last one into predictions. */
  handedOn: Placed
  report: ParityReport
}

async function compareStage(comparison: Comparison): Promise<void> {
  const { request, stage, names, fold, report } = comparison
  const { log, schema } = request
  const read = stageReader(schema, names.length, stage.entity === undefined, request.maxAhead)
  const { offsets } = await log.topic(stage.topic)
  for (const partition of offsets.keys()) {
    const seam = new Seam({ ...BEHIND, group: request.group })
    const last = await lastHandedOn(comparison, partition)
    for await (const records of log.read(stage.topic, partition)) {
      const input = read(records)
      const { decoded, earlier } = input
      fold.prepare(decoded.events)
      seam.join(input, fold, Infinity)
      compareBatch(comparison, input, fold.fold(decoded.events, earlier), last)
      request.report?.(report.transactions)
    }
  }
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

function compareBatch(
  { request, stage, names, fold, served, handedOn, report }: Comparison,
  input: StageInput,
  matrix: FeatureMatrix,
  last: number,
): void {
  const { from = 0, to = Infinity } = request
  const { events, index } = input.decoded
  const { columns } = fold
  // The last stage makes no prediction of a label, but every stage passes labels on to the next.
  const labelsToo = handedOn !== served
  let k = 0
  for (let row = 0; row < events.size; row++) {
    const i = index[row]
    const [partition, offset] = [input.partitions[i], input.offsets[i]]
    const label = events.kind[row] === FRAUD_LABEL
    const asked = offset >= from && offset < to
    const due = asked && (!label || labelsToo) && input.records.offsets[i] <= last
    if (due && !handedOn.has(partition, offset)) report.missing++
    if (label) continue
    const values = asked ? served.row(partition, offset) : undefined
    if (values !== undefined) {
      if (stage.entity === undefined) report.transactions++
      const where = { partition, offset, transactionId: events.ids[row] }
      const recomputed = matrix.values.subarray(k * names.length, (k + 1) * names.length)
      compareRow(where, { names, columns }, recomputed, values, report)
    }
    k++
  }
}

function compareRow(
  where: Pick<Difference, 'partition' | 'offset' | 'transactionId'>,
  { names, columns }: { names: string[]; columns: number[] },
  recomputed: Float64Array,
  served: Float64Array,
  report: ParityReport,
): void {
  report.values += columns.length
  for (const f of columns) {
    if (Object.is(recomputed[f], served[f])) continue
    report.differences++
    if (report.firstDifferences.length < SHOWN)
      report.firstDifferences.push({ ...where, feature: names[f], served: served[f], recomputed: recomputed[f] })
  }
}
