import type { Frame } from '../../datasets/frame/frame.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { openTableWriter, type ColumnValues, type ParquetColumn } from '../../datasets/table/parquet.ts'
import { FRAUD_LABEL, LOOKUP, type EventBatch } from '../../datasets/table/transaction.ts'
import type { FeatureMatrix } from '../fold/fold-output.ts'
import { categoryColumns, featureNames, type FeatureService } from '../view/view.ts'

/** What a join found. */
export interface JoinReport {
  /** Rows of the frame. */
  rows: number
  /** Of these, those that are transactions of the history, by id and time. */
  transactions: number
  /** Those that are known by an id alone, which the history does not have: they have no features. */
  unmatched: number
  /** Those with an id of the history and another time: they were looked up as any other row. */
  otherTime: number
  /** Those of a key with more events than a view keeps, so that a window lacks some. */
  truncated: number
  /** Events of the history that were folded, labels included. */
  events: number
}

/** The features of a frame's rows, in its order. */
export interface Joined {
  report: JoinReport
  /** Row-major, `rows × features`; NaN where missing. */
  values: Float64Array
  /** The names of the categories, by feature that is one, in the order of `categoryColumns`. */
  categories: string[][]
}

/** The rows that ask by the id of a transaction: the first of each id, and from each the next of the same. */
interface Asking {
  first: Map<number | string, number>
  next: Int32Array
}

const NONE = -1

/** What an id was found to be: nothing, the transaction itself, or one at another time. */
const NOTHING = 0
const TRANSACTION_ITSELF = 1
const OTHER_TIME = 2

function askingRows({ events, identified }: Frame): Asking {
  const first = new Map<number | string, number>()
  const next = new Int32Array(events.size).fill(NONE)
  if (!identified) return { first, next }
  for (let row = events.size - 1; row >= 0; row--) {
    const id = events.ids[row]
    if (id === '' || Number.isNaN(id)) continue
    next[row] = first.get(id) ?? NONE
    first.set(id, row)
  }
  return { first, next }
}

/** Gathers the features of a frame's rows, as the fold comes by them. */
export class JoinedRows {
  readonly report: JoinReport
  readonly #frame: Frame
  readonly #width: number
  readonly #values: Float64Array
  /** By category: the names, and which categorical column of a batch they come from. */
  readonly #categories: { names: string[]; source: number }[]
  readonly #asking: Asking
  /** By row: what its id was found to be. */
  readonly #found: Uint8Array
  readonly #truncated: Uint8Array

  constructor(frame: Frame, service: FeatureService, schema: DatasetSchema) {
    const { size, categorical } = frame.events
    this.#frame = frame
    this.#width = featureNames(service).length
    this.#values = new Float64Array(size * this.#width).fill(Number.NaN)
    this.#categories = categoryColumns(service, schema).map(({ source }) => ({
      names: categorical[source].slice(),
      source,
    }))
    this.#asking = askingRows(frame)
    this.#found = new Uint8Array(size)
    this.#truncated = new Uint8Array(size)
    this.report = { rows: size, transactions: 0, unmatched: 0, otherTime: 0, truncated: 0, events: 0 }
  }

  /**
   * Takes the rows of a folded batch.
   *
   * @param order the frame's rows as they are looked up, of which `looked` were before. Returns how many are now.
   */
  take(batch: EventBatch, matrix: FeatureMatrix, order: Uint32Array, looked: number): number {
    const { kind, ids, size } = batch
    const { first, next } = this.#asking
    let [k, lookups] = [0, looked]
    for (let row = 0; row < size; row++) {
      if (kind[row] === FRAUD_LABEL) continue
      if (kind[row] === LOOKUP) this.#copy(matrix, k, order[lookups++])
      else if (first.size > 0) {
        for (let asking = first.get(ids[row]) ?? NONE; asking !== NONE; asking = next[asking])
          this.#match(batch, row, matrix, k, asking)
      }
      k++
    }
    this.report.events += size - (lookups - looked)
    return lookups
  }

  finish(): Joined {
    const { report } = this
    for (let row = 0; row < report.rows; row++) {
      report.truncated += this.#truncated[row]
      if (this.#found[row] === NOTHING && !this.#frame.timed) report.unmatched++
      if (this.#found[row] === OTHER_TIME) report.otherTime++
      if (this.#found[row] === TRANSACTION_ITSELF) report.transactions++
    }
    return { report, values: this.#values, categories: this.#categories.map(({ names }) => names) }
  }

  #copy({ values, truncated }: FeatureMatrix, k: number, row: number): void {
    const width = this.#width
    for (let f = 0, from = k * width, to = row * width; f < width; f++) this.#values[to++] = values[from++]
    this.#truncated[row] = truncated[k] === 0 ? 0 : 1
  }

  #match(batch: EventBatch, row: number, matrix: FeatureMatrix, k: number, asking: number): void {
    const { events, timed } = this.#frame
    if (timed && events.time[asking] !== batch.time[row]) {
      this.#found[asking] = OTHER_TIME
      return
    }
    this.#found[asking] = TRANSACTION_ITSELF
    this.#copy(matrix, k, asking)
    for (const { names, source } of this.#categories) names[asking] = batch.categorical[source][row]
  }
}

/** Rows that are written at once. */
const ROWS_AT_ONCE = 16_384

/**
 * Writes a frame with its features: its own columns as they stand in its file, then those of the service. A feature
 * whose name one of its columns has is written as `VIEW__FEATURE`. The file appears under its name when it is whole;
 * its ending says what it becomes, as in `openTableWriter`.
 *
 * @returns the features that were renamed, by the names they have now.
 */
export async function writeJoined(
  out: string,
  frame: Frame,
  service: FeatureService,
  schema: DatasetSchema,
  { values, categories, report }: Joined,
): Promise<Record<string, string>> {
  const names = featureNames(service)
  const renamed = renamedFeatures(frame, service)
  const category = new Map(categoryColumns(service, schema).map(({ feature }, c) => [feature, categories[c]]))
  const columns = names.map((name, f): ParquetColumn => ({
    name: renamed[name] ?? name,
    type: category.has(f) ? 'VARCHAR' : 'DOUBLE',
  }))
  await using writer = await openTableWriter(out, columns, frame)
  const numbers = names.map(() => new Float64Array(Math.min(ROWS_AT_ONCE, report.rows)))
  for (let from = 0; from < report.rows; from += ROWS_AT_ONCE) {
    const rows = Math.min(ROWS_AT_ONCE, report.rows - from)
    const filled = numbers.map((column, f): ColumnValues => {
      const texts = category.get(f)
      if (texts !== undefined) return texts.slice(from, from + rows)
      for (let row = 0, at = from * names.length + f; row < rows; row++, at += names.length) column[row] = values[at]
      return column
    })
    writer.append(filled, rows)
  }
  await writer.close()
  return renamed
}

/** Names of columns are compared as DuckDB does, and with it many who read the file: without capitals. */
function renamedFeatures({ columns }: Frame, { views }: FeatureService): Record<string, string> {
  const taken = new Set(columns.map((name) => name.toLowerCase()))
  const renamed: Record<string, string> = {}
  for (const { name: view, features } of views) {
    for (const { name } of features) {
      if (!taken.has(name.toLowerCase())) continue
      let other = `${view}__${name}`
      while (taken.has(other.toLowerCase())) other += '_'
      renamed[name] = other
    }
  }
  return renamed
}
