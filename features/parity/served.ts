import { UserError } from '../../configs/user-error.ts'
import type { EventLog, RecordBatch } from '../../datasets/log/event-log.ts'
import { origins } from '../chain/stage-record.ts'
import { KeyTable } from '../fold/key-table.ts'
import { categoryCode } from '../view/category.ts'
import { Growing } from '../window/growing.ts'

/** What the scorer logged about one transaction, as far as parity needs it. */
export interface ServedFeatures {
  transaction_id: number | string
  features: Record<string, number | string | null>
  input: { partition: number; offset: number }
  group: string
  /** Version of the base that they were computed on. Older scorers wrote none. */
  base?: number
  model?: { name: string; version: number }
}

/** What predictions were made with. */
export interface Origin {
  /** Version of the base under their features; undefined in predictions of older scorers. */
  base: number | undefined
  model: { name: string; version: number } | undefined
  predictions: number
}

/** Which records of the input came to a place. They go by their partition and offset in the input. */
export interface Placed {
  has(partition: number, offset: number): boolean
  /** The largest offset of a partition that came, −1 when none did. */
  last(partition: number): number
  /** How many arrivals were of a record that had come before. */
  duplicates: number
}

/** The predictions of a group, with the features they were made from. */
export interface Served extends Placed {
  /** All origins, in order of first appearance. */
  origins: readonly Origin[]
  /** The origin of a record's prediction. Of a record without one, that of the predictions behind it, or the last. */
  origin(partition: number, offset: number): Origin | undefined
  /**
   * Values in the order of the names asked for, NaN where null, and the code of a category, missing or not. Undefined
   * when there is no prediction.
   */
  row(partition: number, offset: number): Float64Array | undefined
}

/** The records of one partition of the input that came, in the order of first arrival. */
interface Arrivals {
  offsets: KeyTable
  /** By the slot of an offset: its row. */
  rows: Growing<Uint32Array>
  last: number
}

/** Row numbers by input partition and offset, in the order of first arrival. */
interface Places {
  partitions: Map<number, Arrivals>
  size: number
  duplicates: number
}

function newPlaces(): Places {
  return { partitions: new Map(), size: 0, duplicates: 0 }
}

/** Gives a row to a record that came for the first time. Undefined when it had come before. */
function place(places: Places, partition: number, offset: number): number | undefined {
  const known = places.partitions.get(partition)
  const arrivals = known ?? { offsets: new KeyTable(), rows: new Growing(Uint32Array), last: -1 }
  places.partitions.set(partition, arrivals)
  if (arrivals.offsets.slot(offset) >= 0) {
    places.duplicates++
    return undefined
  }
  const slot = arrivals.offsets.add(offset)
  arrivals.rows.grow(slot + 1)[slot] = places.size
  arrivals.last = Math.max(arrivals.last, offset)
  return places.size++
}

/** The row of a record, undefined when it did not come. */
function rowOf({ partitions }: Places, partition: number, offset: number): number | undefined {
  const arrivals = partitions.get(partition)
  const slot = arrivals?.offsets.slot(offset) ?? -1
  return slot < 0 ? undefined : arrivals?.rows.array[slot]
}

function placed(places: Places): Placed {
  return {
    has: (partition, offset) => rowOf(places, partition, offset) !== undefined,
    last: (partition) => places.partitions.get(partition)?.last ?? -1,
    duplicates: places.duplicates,
  }
}

const ROWS_A_PAGE = 1 << 14

/** Rows of values, in pages: there may be more of them than one array holds, and none is copied as they become more. */
class Rows {
  readonly #width: number
  readonly #pages: Float64Array[] = []

  constructor(width: number) {
    this.#width = width
  }

  /** A row. The one after the last is made. */
  at(row: number): Float64Array {
    const page = Math.floor(row / ROWS_A_PAGE)
    if (page === this.#pages.length) this.#pages.push(new Float64Array(ROWS_A_PAGE * this.#width))
    const first = (row % ROWS_A_PAGE) * this.#width
    return this.#pages[page].subarray(first, first + this.#width)
  }
}

/**
 * Reads all predictions of a group.
 *
 * @param categories those of `names`, by number, that are categories.
 * @throws UserError when a record of the topic is not JSON.
 */
export async function servedFeatures(
  log: EventLog,
  topic: string,
  group: string,
  names: readonly string[],
  categories: ReadonlySet<number>,
): Promise<Served> {
  const places = newPlaces()
  const values = new Rows(names.length)
  const origins = openOrigins()
  for await (const predictions of readPredictions(log, topic)) {
    for (const prediction of predictions) {
      if (prediction.group !== group) continue
      const row = place(places, prediction.input.partition, prediction.input.offset)
      if (row === undefined) continue
      origins.add(row, prediction)
      const into = values.at(row)
      for (let f = 0; f < names.length; f++) into[f] = numberOf(prediction.features[names[f]], categories.has(f))
    }
  }
  return {
    ...placed(places),
    origins: origins.all,
    origin: (partition, offset) => origins.of(rowOf(places, partition, offset), partition, offset),
    row: (partition, offset) => {
      const row = rowOf(places, partition, offset)
      return row === undefined ? undefined : values.at(row)
    },
  }
}

/** The number that the fold computed for a served value: of a category its code, which has one for a missing name. */
function numberOf(value: number | string | null | undefined, category: boolean): number {
  if (typeof value === 'string') return categoryCode(value)
  return value === null && category ? categoryCode('') : (value ?? Number.NaN)
}

interface Origins {
  all: Origin[]
  /** Notes the origin of a row. Rows come in order. */
  add(row: number, prediction: ServedFeatures): void
  of(row: number | undefined, partition: number, offset: number): Origin | undefined
}

function openOrigins(): Origins {
  const all: Origin[] = []
  const byName = new Map<string, number>()
  const ofRow = new Growing(Uint32Array)
  /** By partition: the largest offset of each origin. */
  const last = new Map<number, Map<number, number>>()
  return {
    all,
    add: (row, { base, model, input: { partition, offset } }) => {
      const name = JSON.stringify([base, model?.name, model?.version])
      const known = byName.get(name) ?? all.push({ base, model, predictions: 0 }) - 1
      byName.set(name, known)
      all[known].predictions++
      ofRow.grow(row + 1)[row] = known
      const lasts = last.get(partition) ?? new Map<number, number>()
      last.set(partition, lasts)
      lasts.set(known, Math.max(lasts.get(known) ?? -1, offset))
    },
    of: (row, partition, offset) => {
      if (row !== undefined) return all[ofRow.array[row]]
      const ends = [...(last.get(partition) ?? [])].toSorted(([, a], [, b]) => a - b)
      const [behind] = ends.find(([, end]) => end >= offset) ?? ends.at(-1) ?? []
      return behind === undefined ? undefined : all[behind]
    },
  }
}

/** The groups that have predictions in the topic, by name. */
export async function servedGroups(log: EventLog, topic: string): Promise<string[]> {
  const groups = new Set<string>()
  for await (const predictions of readPredictions(log, topic)) for (const { group } of predictions) groups.add(group)
  return [...groups].toSorted()
}

/** Finds out which records of the input have come to the topic of a later stage. */
export async function passedOn(log: EventLog, topic: string): Promise<Placed> {
  const places = newPlaces()
  for await (const batch of allRecords(log, topic)) {
    const { partitions, offsets } = origins(batch)
    for (let i = 0; i < batch.size; i++) place(places, partitions[i], offsets[i])
  }
  return placed(places)
}

/**
 * The predictions of a topic, a batch at a time, partition after partition. `T` says which of their fields are read.
 *
 * @throws UserError when a record of the topic is not JSON.
 */
export async function* readPredictions<T extends ServedFeatures = ServedFeatures>(
  log: EventLog,
  topic: string,
): AsyncGenerator<T[]> {
  for await (const batch of allRecords(log, topic))
    yield Array.from({ length: batch.size }, (_, i) => parsePrediction(batch, i) as T)
}

async function* allRecords(log: EventLog, topic: string): AsyncGenerator<RecordBatch> {
  const { partitions } = await log.topic(topic)
  for (let partition = 0; partition < partitions; partition++) yield* log.read(topic, partition)
}

/** The i-th record of a batch of predictions. */
function parsePrediction({ topic, bytes, offsets, valueStart, valueEnd }: RecordBatch, i: number): unknown {
  try {
    return JSON.parse(bytes.toString('utf8', valueStart[i], valueEnd[i]))
  } catch (error) {
    throw new UserError(
      `Record ${offsets[i]} of "${topic}" is not JSON, so it cannot be compared. ` +
        `See: fd topics read ${topic} --from ${offsets[i]} --limit 1`,
      { cause: error },
    )
  }
}
