import { UserError } from '../../configs/user-error.ts'
import type { EventLog, RecordBatch } from '../../datasets/log/event-log.ts'
import { origins } from '../chain/stage-record.ts'

/** What the scorer logged of one transaction, as far as parity needs it. */
export interface ServedFeatures {
  transaction_id: number | string
  features: Record<string, number | null>
  input: { partition: number; offset: number }
  group: string
}

/** Which records of the input came to a place, by the partition and offset at which they stand in it. */
export interface Placed {
  has(partition: number, offset: number): boolean
  /** The largest offset of a partition, −1 when none came. */
  last(partition: number): number
  /** How many came more than once. */
  duplicates: number
}

/** The predictions of a group, with the features they were made from. */
export interface Served extends Placed {
  /** Values in the order of the names asked for, NaN where null; undefined when there is no prediction. */
  row(partition: number, offset: number): Float64Array | undefined
}

/** Row numbers by input partition and offset, in the order of first arrival. */
interface Places {
  rows: Map<number, Map<number, number>>
  last: Map<number, number>
  size: number
  duplicates: number
}

function newPlaces(): Places {
  return { rows: new Map(), last: new Map(), size: 0, duplicates: 0 }
}

/** The row given to a record that came for the first time, undefined when it had come before. */
function place(places: Places, partition: number, offset: number): number | undefined {
  const rows = places.rows.get(partition) ?? new Map<number, number>()
  places.rows.set(partition, rows)
  if (rows.has(offset)) {
    places.duplicates++
    return undefined
  }
  rows.set(offset, places.size)
  places.last.set(partition, Math.max(places.last.get(partition) ?? -1, offset))
  return places.size++
}

function placed({ rows, last, duplicates }: Places): Placed {
  return {
    has: (partition, offset) => rows.get(partition)?.has(offset) === true,
    last: (partition) => last.get(partition) ?? -1,
    duplicates,
  }
}

/** Reads all predictions of a group. Values lie row by row in one array: a stretch may be millions of rows. */
export async function servedFeatures(
  log: EventLog,
  topic: string,
  group: string,
  names: readonly string[],
): Promise<Served> {
  const places = newPlaces()
  const width = names.length
  let values = new Float64Array(1024 * width)
  for await (const batch of allRecords(log, topic)) {
    for (let i = 0; i < batch.size; i++) {
      const prediction = parsePrediction(
        batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i]),
        topic,
        batch.offsets[i],
      )
      const row =
        prediction.group === group ? place(places, prediction.input.partition, prediction.input.offset) : undefined
      if (row === undefined) continue
      if ((row + 1) * width > values.length) {
        const wider = new Float64Array(values.length * 2)
        wider.set(values)
        values = wider
      }
      for (const [f, name] of names.entries()) values[row * width + f] = prediction.features[name] ?? Number.NaN
    }
  }
  return {
    ...placed(places),
    row: (partition, offset) => {
      const row = places.rows.get(partition)?.get(offset)
      return row === undefined ? undefined : values.subarray(row * width, (row + 1) * width)
    },
  }
}

/** The groups that have predictions in the topic, by name. */
export async function servedGroups(log: EventLog, topic: string): Promise<string[]> {
  const groups = new Set<string>()
  for await (const batch of allRecords(log, topic)) {
    for (let i = 0; i < batch.size; i++)
      groups.add(
        parsePrediction(batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i]), topic, batch.offsets[i])
          .group,
      )
  }
  return [...groups].toSorted()
}

/** Reads which records of the input have come to the topic of a later stage. */
export async function passedOn(log: EventLog, topic: string): Promise<Placed> {
  const places = newPlaces()
  for await (const batch of allRecords(log, topic)) {
    const { partitions, offsets } = origins(batch)
    for (let i = 0; i < batch.size; i++) place(places, partitions[i], offsets[i])
  }
  return placed(places)
}

async function* allRecords(log: EventLog, topic: string): AsyncGenerator<RecordBatch> {
  const { partitions } = await log.topic(topic)
  for (let partition = 0; partition < partitions; partition++) yield* log.read(topic, partition)
}

function parsePrediction(text: string, topic: string, offset: number): ServedFeatures {
  try {
    return JSON.parse(text) as ServedFeatures
  } catch (error) {
    throw new UserError(
      `Record ${offset} of "${topic}" is not JSON, so it cannot be compared. See: fd topics read ${topic} --from ${offset} --limit 1`,
      { cause: error },
    )
  }
}
