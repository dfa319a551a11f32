import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { BIGINT, BLOB, DOUBLE, DuckDBBlobValue, DuckDBDataChunk, INTEGER } from '@duckdb/node-api'
import { errorMessage, UserError } from '../configs/user-error.ts'
import { openDatabase, sqlText, type Database } from './duckdb.ts'
import type { RecordBatch } from './event-log.ts'
import { compareLakeFiles, inRange, lakePath, parseLakePath, rowsByDate } from './lake-file.ts'
import type { DateRange, Lake, LakeFile } from './lake.ts'

/** Rows of a DuckDB data chunk. */
const CHUNK_ROWS = 2048
/** Sorting a topic takes no more memory than this; the rest waits beside the lake. */
const MEMORY_LIMIT = '400MB'
/** EpochMs as TIMESTAMP, to the microsecond; NULL for what no calendar has, so that one odd record stops nothing. */
const TIMESTAMP = 'CASE WHEN abs("timestamp") <= 8.64e15 THEN make_timestamp(CAST("timestamp" * 1000 AS BIGINT)) END'

/** The lake in a folder of this machine: Parquet through DuckDB. */
export async function openFolderLake(folder: string): Promise<Lake> {
  const writer = await openDatabase()
  await writer.run('CREATE TABLE records (partition INTEGER, "offset" BIGINT, "key" BLOB, "timestamp" DOUBLE, "value" BLOB)')
  let turn: Promise<unknown> = Promise.resolve()
  return {
    write(batch) {
      // One table serves every write, so they wait for each other; the failure of one is its caller's to see.
      const written = turn.then(() => writeBatch(writer, folder, batch))
      turn = written.catch(() => undefined)
      return written
    },
    list: async (topic) => listFiles(folder, topic),
    read: (topic, range = {}) => readTopic(folder, topic, range),
    async [Symbol.asyncDispose]() {
      await turn
      await writer[Symbol.asyncDispose]()
    },
  }
}

async function writeBatch(database: Database, folder: string, batch: RecordBatch): Promise<LakeFile[]> {
  const files: LakeFile[] = []
  for (const [date, rows] of rowsByDate(batch)) {
    const name = { topic: batch.topic, date, partition: batch.partition, offset: batch.offsets[rows[0]] }
    const file = { path: lakePath(name), ...name }
    await writeFile(database, join(folder, file.path), batch, rows)
    files.push(file)
  }
  return files
}

/** Nothing stands under the file's name until it is whole and on disk. */
async function writeFile(database: Database, file: string, batch: RecordBatch, rows: number[]): Promise<void> {
  const partial = `${file}.${process.pid}.partial`
  try {
    mkdirSync(dirname(file), { recursive: true })
    await database.run('TRUNCATE records')
    await appendRows(database, batch, rows)
    await database.run(
      `COPY (SELECT partition, "offset", "key", ${TIMESTAMP} AS "timestamp", "value" FROM records) TO ${sqlText(partial)} (FORMAT parquet, COMPRESSION zstd)`,
    )
    syncFile(partial)
    renameSync(partial, file)
  } catch (error) {
    rmSync(partial, { force: true })
    throw new UserError(`Cannot write ${file}: ${errorMessage(error)}\nFree space on the disk, or set FD_LAKE to another folder; nothing that was written is lost.`, { cause: error })
  }
}

function syncFile(file: string): void {
  const descriptor = openSync(file, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

async function appendRows(database: Database, batch: RecordBatch, rows: number[]): Promise<void> {
  const appender = await database.connection.createAppender('records')
  const chunk = DuckDBDataChunk.create([INTEGER, BIGINT, BLOB, DOUBLE, BLOB])
  for (let first = 0; first < rows.length; first += CHUNK_ROWS) {
    const part = rows.slice(first, first + CHUNK_ROWS)
    chunk.reset()
    chunk.rowCount = part.length
    chunk.setColumnValues(0, part.map(() => batch.partition))
    chunk.setColumnValues(1, part.map((row) => BigInt(batch.offsets[row])))
    chunk.setColumnValues(2, part.map((row) => (batch.keyStart[row] === batch.valueStart[row] ? null : blob(batch, batch.keyStart[row], batch.valueStart[row]))))
    chunk.setColumnValues(3, part.map((row) => batch.timestamps[row]))
    chunk.setColumnValues(4, part.map((row) => blob(batch, batch.valueStart[row], batch.valueEnd[row])))
    appender.appendDataChunk(chunk)
  }
  appender.closeSync()
}

function blob(batch: RecordBatch, start: number, end: number): DuckDBBlobValue {
  return new DuckDBBlobValue(batch.bytes.subarray(start, end))
}

function listFiles(folder: string, topic: string | undefined): LakeFile[] {
  const root = join(folder, 'raw', topic ?? '')
  if (!existsSync(root)) return []
  const prefix = topic === undefined ? 'raw/' : `raw/${topic}/`
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => parseLakePath(prefix + path.replaceAll(sep, '/')))
  return paths.filter((file) => file !== undefined).sort(compareLakeFiles)
}

async function* readTopic(folder: string, topic: string, range: DateRange): AsyncGenerator<RecordBatch> {
  const files = listFiles(folder, topic)
  if (files.length === 0) {
    const topics = [...new Set(listFiles(folder, undefined).map((file) => file.topic))]
    throw new UserError(`The lake at ${folder} has nothing of topic "${topic}". ${topics.length === 0 ? 'It is empty.' : `It has: ${topics.join(', ')}.`}`)
  }
  const byPartition = Map.groupBy(
    files.filter((file) => inRange(file, range)),
    (file) => file.partition,
  )
  for (const [partition, parts] of byPartition) yield* readPartition(folder, topic, partition, parts)
}

async function* readPartition(folder: string, topic: string, partition: number, files: LakeFile[]): AsyncGenerator<RecordBatch> {
  const paths = files.map((file) => sqlText(join(folder, file.path)))
  await using database = await openDatabase(':memory:', { memory_limit: MEMORY_LIMIT, temp_directory: join(folder, `.sort-${process.pid}`) })
  const sql = `SELECT CAST("offset" AS DOUBLE), "key", coalesce(epoch_us("timestamp") / 1000, 0), "value" FROM read_parquet([${paths.join(', ')}], hive_partitioning = false) ORDER BY "offset"`
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
    throw new UserError(`Cannot read topic "${topic}" in the lake: ${errorMessage(error)}\nRestore the file from a copy, or remove it and read without it.`, { cause: error })
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
