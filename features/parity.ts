import type { Dataset, DatasetSchema } from '../datasets/dataset.ts'
import { eventDecoder } from '../datasets/event-json.ts'
import type { EventLog } from '../datasets/event-log.ts'
import { FRAUD_LABEL, type EpochMs } from '../datasets/transaction.ts'
import { UserError } from '../configs/user-error.ts'
import { backfill } from './backfill.ts'
import { ServiceFold } from './fold.ts'
import type { FeatureService } from './view.ts'

/** What the scorer logged of one transaction, as far as parity needs it. */
export interface ServedFeatures {
  transaction_id: number | string
  features: Record<string, number | null>
  input: { partition: number; offset: number }
  group: string
}

/** A value that was served and is not what batch computes. */
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
  /** The first of them. */
  firstDifferences: Difference[]
  /** Offsets with more than one prediction of the group, and with none though later ones have one. */
  duplicates: number
  missing: number
}

export interface ParityRequest {
  log: EventLog
  /** Topics that hold the transactions and what was served for them. */
  input: string
  served: string
  group: string
  service: FeatureService
  schema: DatasetSchema
  /** The history that was backfilled before the log began. */
  history?: { dataset: Dataset; until?: EpochMs }
  /** Input offsets to compare, from (included) and to (excluded); everything before `from` is folded all the same. */
  from?: number
  to?: number
  report?: (transactions: number) => void
}

const SHOWN = 20

/**
 * Recomputes the features of a stretch of the log in batch, from the raw history and the raw log, and compares them bit by
 * bit with what the scorer logged. No stored state takes part, so a scorer that lost or repeated an event in any
 * restart is found out. Partitions are folded one after the other.
 */
export async function verifyParity(request: ParityRequest): Promise<ParityReport> {
  const fold = await foldHistory(request)
  const report: ParityReport = { transactions: 0, values: 0, differences: 0, firstDifferences: [], duplicates: 0, missing: 0 }
  const topic = await request.log.topic(request.input)
  for (const partition of topic.offsets.keys()) {
    const served = await readServed(request, partition, report)
    await comparePartition(request, partition, fold, served, report)
  }
  return report
}

async function foldHistory({ service, schema, history }: ParityRequest): Promise<ServiceFold> {
  if (history === undefined) return new ServiceFold(service, schema)
  const { fold } = await backfill(history.dataset, service, [], history.until === undefined ? {} : { until: history.until })
  return fold
}

/** Served values of one partition: input offset → row of `values`. Column by column in one array: a stretch may be millions of rows. */
interface Served {
  rowOf: Map<number, number>
  values: Float64Array
  last: number
}

async function readServed(request: ParityRequest, partition: number, report: ParityReport): Promise<Served> {
  const names = request.service.views.flatMap((view) => view.features.map((feature) => feature.name))
  const served: Served = { rowOf: new Map(), values: new Float64Array(1024 * names.length), last: -1 }
  const topic = await request.log.topic(request.served)
  for (const servedPartition of topic.offsets.keys()) {
    for await (const batch of request.log.read(request.served, servedPartition)) {
      for (let i = 0; i < batch.size; i++) {
        const prediction = parsePrediction(batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i]), request.served, batch.offsets[i])
        if (prediction.group !== request.group || prediction.input.partition !== partition) continue
        addServed(served, prediction, names, report)
      }
    }
  }
  return served
}

function addServed(served: Served, { input, features }: ServedFeatures, names: string[], report: ParityReport): void {
  if (served.rowOf.has(input.offset)) {
    report.duplicates++
    return
  }
  const row = served.rowOf.size
  if ((row + 1) * names.length > served.values.length) {
    const wider = new Float64Array(served.values.length * 2)
    wider.set(served.values)
    served.values = wider
  }
  for (const [f, name] of names.entries()) served.values[row * names.length + f] = features[name] ?? Number.NaN
  served.rowOf.set(input.offset, row)
  served.last = Math.max(served.last, input.offset)
}

function parsePrediction(text: string, topic: string, offset: number): ServedFeatures {
  try {
    return JSON.parse(text) as ServedFeatures
  } catch (error) {
    throw new UserError(`Record ${offset} of "${topic}" is not JSON, so it cannot be compared. See: fd topics read ${topic} --from ${offset} --limit 1`, { cause: error })
  }
}

async function comparePartition(request: ParityRequest, partition: number, fold: ServiceFold, served: Served, report: ParityReport): Promise<void> {
  const { from = 0, to = Infinity } = request
  const decode = eventDecoder(request.schema)
  const width = fold.names.length
  for await (const records of request.log.read(request.input, partition)) {
    const { events, index } = decode(records)
    const matrix = fold.fold(events)
    let k = 0
    for (let row = 0; row < events.size; row++) {
      if (events.kind[row] === FRAUD_LABEL) continue
      const offset = records.offsets[index[row]]
      if (offset >= from && offset < to && offset <= served.last) {
        const at = served.rowOf.get(offset)
        if (at === undefined) report.missing++
        else compareRow({ partition, offset, transactionId: events.ids[row] }, fold.names, matrix.values.subarray(k * width, (k + 1) * width), served.values.subarray(at * width, (at + 1) * width), report)
      }
      k++
    }
    request.report?.(report.transactions)
  }
}

function compareRow(where: Pick<Difference, 'partition' | 'offset' | 'transactionId'>, names: string[], recomputed: Float64Array, served: Float64Array, report: ParityReport): void {
  report.transactions++
  report.values += names.length
  for (let f = 0; f < names.length; f++) {
    if (Object.is(recomputed[f], served[f])) continue
    report.differences++
    if (report.firstDifferences.length < SHOWN) report.firstDifferences.push({ ...where, feature: names[f], served: served[f], recomputed: recomputed[f] })
  }
}
