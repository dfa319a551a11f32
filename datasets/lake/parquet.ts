import { BIGINT, BLOB, DOUBLE, DuckDBBlobValue, DuckDBDataChunk, INTEGER } from '@duckdb/node-api'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { RecordBatch } from '../log/event-log.ts'
import { openDatabase, sqlText, type Database } from '../table/duckdb.ts'

/** Rows of a DuckDB data chunk. */
const CHUNK_ROWS = 2048
/** Most memory for sorting a topic; the rest waits on disk. */
const MEMORY_LIMIT = '400MB'
/**
 * EpochMs as TIMESTAMP, to the microsecond. An instant that no calendar has is NULL, so that one odd record stops
 * nothing.
 */
const TIMESTAMP = 'CASE WHEN abs("timestamp") <= 8.64e15 THEN make_timestamp(CAST("timestamp" * 1000 AS BIGINT)) END'

/** Writes records as Parquet files of the lake. */
export interface RecordWriter extends AsyncDisposable {
  /**
   * Writes rows of a batch to `file`, whose folder exists. A failure may leave a partial file, so the caller writes
   * under another name and puts the file in place. Calls may overlap; their files are made one after another.
   */
  write(file: string, batch: RecordBatch, rows: readonly number[]): Promise<void>
}

/** Opens a writer. It collects the rows of a file in a table in memory. */
export async function openRecordWriter(): Promise<RecordWriter> {
  const database = await openDatabase()
  await database.run(
    'CREATE TABLE records (partition INTEGER, "offset" BIGINT, "key" BLOB, "timestamp" DOUBLE, "value" BLOB)',
  )
  let turn: Promise<unknown> = Promise.resolve()
  return {
    write(file, batch, rows) {
      // All files share the table, so they wait for each other. A failure goes to its own caller, not to the next one.
      const written = turn.then(() => writeRecords(database, file, batch, rows))
      turn = written.catch(() => undefined)
      return written
    },
    async [Symbol.asyncDispose]() {
      await turn
      await database[Symbol.asyncDispose]()
    },
  }
}

async function writeRecords(
  database: Database,
  file: string,
  batch: RecordBatch,
  rows: readonly number[],
): Promise<void> {
  await database.run('TRUNCATE records')
  await appendRows(database, batch, rows)
  const columns = `partition, "offset", "key", ${TIMESTAMP} AS "timestamp", "value"`
  await database.run(`COPY (SELECT ${columns} FROM records) TO ${sqlText(file)} (FORMAT parquet, COMPRESSION zstd)`)
}

async function appendRows(database: Database, batch: RecordBatch, rows: readonly number[]): Promise<void> {
  const appender = await database.connection.createAppender('records')
  const chunk = DuckDBDataChunk.create([INTEGER, BIGINT, BLOB, DOUBLE, BLOB])
  for (let first = 0; first < rows.length; first += CHUNK_ROWS) {
    const part = rows.slice(first, first + CHUNK_ROWS)
    chunk.reset()
    chunk.rowCount = part.length
    const columns = [
      part.map(() => batch.partition),
      part.map((row) => BigInt(batch.offsets[row])),
      part.map((row) => keyOf(batch, row)),
      part.map((row) => batch.timestamps[row]),
      part.map((row) => blob(batch, batch.valueStart[row], batch.valueEnd[row])),
    ]
    for (const [index, values] of columns.entries()) chunk.setColumnValues(index, values)
    appender.appendDataChunk(chunk)
  }
  appender.closeSync()
}

function keyOf(batch: RecordBatch, row: number): DuckDBBlobValue | null {
  const [start, end] = [batch.keyStart[row], batch.valueStart[row]]
  return start === end ? null : blob(batch, start, end)
}

function blob(batch: RecordBatch, start: number, end: number): DuckDBBlobValue {
  return new DuckDBBlobValue(batch.bytes.subarray(start, end))
}

/**
 * Records of one partition by offset, each once, from local files in any order.
 *
 * @param spill folder for rows that do not fit in memory; it is made when needed, and removed.
 * @throws UserError naming the file that cannot be read.
 */
export async function* readRecords(
  topic: string,
  partition: number,
  files: readonly string[],
  spill: string,
): AsyncGenerator<RecordBatch> {
  await using database = await openDatabase(':memory:', { memory_limit: MEMORY_LIMIT, temp_directory: spill })
  const columns = 'CAST("offset" AS DOUBLE), "key", coalesce(epoch_us("timestamp") / 1000, 0), "value"'
  const source = `read_parquet([${files.map(sqlText).join(', ')}], hive_partitioning = false)`
  const sql = `SELECT ${columns} FROM ${source} ORDER BY "offset"`
  let next = 0
  try {
    const result = await database.connection.stream(sql)
    for (;;) {
      const chunk = await result.fetchChunk()
      if (chunk === null || chunk.rowCount === 0) return
      const batch = batchOf(topic, partition, chunk, next)
      if (batch.size === 0) continue
      next = batch.offsets[batch.size - 1] + 1
      yield batch
    }
  } catch (error) {
    throw new UserError(
      `Cannot read topic "${topic}" in the lake: ${errorMessage(error)}\n` +
        'Restore the file from a copy, or remove it and read without it.',
      { cause: error },
    )
  }
}

/**
 * The chunk's records from offset `next` on, each once: two writers may have archived the same stretch in files of
 * different extents.
 */
function batchOf(topic: string, partition: number, chunk: DuckDBDataChunk, next: number): RecordBatch {
  const [offsets, keys, timestamps, contents] = [0, 1, 2, 3].map((column) => chunk.getColumnValues(column))
  const rows: number[] = []
  for (let row = 0, least = next; row < chunk.rowCount; row++) {
    if (Number(offsets[row]) < least) continue
    rows.push(row)
    least = Number(offsets[row]) + 1
  }
  const pieces = rows.flatMap((row) => [bytesOf(keys[row]), bytesOf(contents[row])])
  const bounds = new Uint32Array(pieces.length + 1)
  for (const [i, piece] of pieces.entries()) bounds[i + 1] = bounds[i] + piece.length
  return {
    topic,
    partition,
    size: rows.length,
    offsets: Float64Array.from(rows, (row) => Number(offsets[row])),
    timestamps: Float64Array.from(rows, (row) => Number(timestamps[row])),
    bytes: Buffer.concat(pieces),
    keyStart: Uint32Array.from(rows, (_, i) => bounds[2 * i]),
    valueStart: Uint32Array.from(rows, (_, i) => bounds[2 * i + 1]),
    valueEnd: Uint32Array.from(rows, (_, i) => bounds[2 * i + 2]),
  }
}

function bytesOf(value: unknown): Uint8Array {
  if (value === null) return new Uint8Array(0)
  if (value instanceof DuckDBBlobValue) return value.bytes
  throw new TypeError(`A lake file has ${typeof value} where BLOB belongs`)
}
