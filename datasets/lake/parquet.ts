import { BIGINT, BLOB, DOUBLE, DuckDBBlobValue, DuckDBDataChunk, INTEGER } from '@duckdb/node-api'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { RecordBatch } from '../log/event-log.ts'
import { openDatabase, sqlText, type Database } from '../table/duckdb.ts'

/** Rows of a DuckDB data chunk. */
const CHUNK_ROWS = 2048
/** Sorting a topic takes no more memory than this; the rest waits on disk. */
const MEMORY_LIMIT = '400MB'
/** EpochMs as TIMESTAMP, to the microsecond; NULL for what no calendar has, so that one odd record stops nothing. */
const TIMESTAMP = 'CASE WHEN abs("timestamp") <= 8.64e15 THEN make_timestamp(CAST("timestamp" * 1000 AS BIGINT)) END'

/** Writes records of a batch as a Parquet file of the lake. */
export interface RecordWriter extends AsyncDisposable {
  /**
   * Writes the rows to `file`, whose folder exists. A failure leaves what it leaves: the caller puts the file in place. Calls may overlap; their
   * files are made one after another.
   */
  write(file: string, batch: RecordBatch, rows: readonly number[]): Promise<void>
}

/** Opens a writer; its table waits in memory. */
export async function openRecordWriter(): Promise<RecordWriter> {
  const database = await openDatabase()
  await database.run(
    'CREATE TABLE records (partition INTEGER, "offset" BIGINT, "key" BLOB, "timestamp" DOUBLE, "value" BLOB)',
  )
  let turn: Promise<unknown> = Promise.resolve()
  return {
    write(file, batch, rows) {
      // One table serves every file, so they wait for each other; the failure of one is its caller's to see.
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
  await database.run(
    `COPY (SELECT partition, "offset", "key", ${TIMESTAMP} AS "timestamp", "value" FROM records) TO ${sqlText(file)} (FORMAT parquet, COMPRESSION zstd)`,
  )
}

async function appendRows(database: Database, batch: RecordBatch, rows: readonly number[]): Promise<void> {
  const appender = await database.connection.createAppender('records')
  const chunk = DuckDBDataChunk.create([INTEGER, BIGINT, BLOB, DOUBLE, BLOB])
  for (let first = 0; first < rows.length; first += CHUNK_ROWS) {
    const part = rows.slice(first, first + CHUNK_ROWS)
    chunk.reset()
    chunk.rowCount = part.length
    chunk.setColumnValues(
      0,
      part.map(() => batch.partition),
    )
    chunk.setColumnValues(
      1,
      part.map((row) => BigInt(batch.offsets[row])),
    )
    chunk.setColumnValues(
      2,
      part.map((row) =>
        batch.keyStart[row] === batch.valueStart[row] ? null : blob(batch, batch.keyStart[row], batch.valueStart[row]),
      ),
    )
    chunk.setColumnValues(
      3,
      part.map((row) => batch.timestamps[row]),
    )
    chunk.setColumnValues(
      4,
      part.map((row) => blob(batch, batch.valueStart[row], batch.valueEnd[row])),
    )
    appender.appendDataChunk(chunk)
  }
  appender.closeSync()
}

function blob(batch: RecordBatch, start: number, end: number): DuckDBBlobValue {
  return new DuckDBBlobValue(batch.bytes.subarray(start, end))
}

/**
 * Records of one partition, by offset and each once, from files of this machine in any order.
 *
 * @param spill folder for what does not fit in memory; made when needed, and removed.
 * @throws UserError naming the file that cannot be read.
 */
export async function* readRecords(
  topic: string,
  partition: number,
  files: readonly string[],
  spill: string,
): AsyncGenerator<RecordBatch> {
  await using database = await openDatabase(':memory:', { memory_limit: MEMORY_LIMIT, temp_directory: spill })
  const sql = `SELECT CAST("offset" AS DOUBLE), "key", coalesce(epoch_us("timestamp") / 1000, 0), "value" FROM read_parquet([${files.map(sqlText).join(', ')}], hive_partitioning = false) ORDER BY "offset"`
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
      `Cannot read topic "${topic}" in the lake: ${errorMessage(error)}\nRestore the file from a copy, or remove it and read without it.`,
      { cause: error },
    )
  }
}

/** The chunk's records from offset `next` on: two writers may have archived the same stretch in files of different extents. */
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
