import type { DuckDBConnection, DuckDBDataChunk, DuckDBScalarFunction } from '@duckdb/node-api'

/** A DuckDB database with one connection. Time zone UTC, results in the order of their source. */
export interface Database extends AsyncDisposable {
  connection: DuckDBConnection
  /** Runs statements and drops their result. */
  run(sql: string): Promise<void>
  /** A small result as objects by column name; whole 64-bit numbers are bigint, timestamps Date. */
  rows(sql: string): Promise<Record<string, unknown>[]>
  /** Makes a function of SQL from text to DOUBLE. It is not asked about NULL, which stays NULL. */
  define(name: string, of: (text: string) => number): Promise<void>
  /** A result of any size, at most 2,048 rows at a time, in order. The query goes on while a chunk is used. */
  stream(sql: string): AsyncIterable<ColumnChunk>
}

/**
 * A stretch of a streamed result as columns. The arrays are views of DuckDB's memory and valid until the next chunk is
 * asked for. The query must cast each column to the type it is read as.
 *
 * @throws TypeError for a column of another type, which is a bug of ours.
 */
export interface ColumnChunk {
  rows: number
  /** A DOUBLE column; NULL is NaN. */
  doubles(column: number): Float64Array
  /** A FLOAT column; NULL is NaN. */
  floats(column: number): Float32Array
  /** A VARCHAR column; NULL is ''. */
  strings(column: number): string[]
}

/**
 * Opens a database: in memory, or in a file that is made when missing.
 *
 * @param options DuckDB's settings, such as `memory_limit: '1GB'`, `threads: '1'`, `temp_directory`.
 */
export async function openDatabase(file = ':memory:', options: Record<string, string> = {}): Promise<Database> {
  // Loaded when first needed: commands that only list or describe datasets start without it.
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(file, options)
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  // Closing under a running query crashes the process (seen), so disposal waits for calls that nobody awaited.
  const running = new Set<Promise<unknown>>()
  const track = async <T>(work: Promise<T>): Promise<T> => {
    running.add(work)
    try {
      return await work
    } finally {
      running.delete(work)
    }
  }
  return {
    connection,
    run: async (sql) => {
      await track(connection.run(sql))
    },
    rows: async (sql) => (await track(connection.runAndReadAll(sql))).getRowObjectsJS(),
    define: async (name, of) => connection.registerScalarFunction(await scalarFunction(name, of)),
    stream: (sql) => streamChunks(connection, sql, track),
    [Symbol.asyncDispose]: async () => {
      await Promise.allSettled(running)
      connection.closeSync()
      instance.closeSync()
    },
  }
}

async function scalarFunction(name: string, of: (text: string) => number): Promise<DuckDBScalarFunction> {
  const { DOUBLE, DuckDBScalarFunction, VARCHAR } = await import('@duckdb/node-api')
  return DuckDBScalarFunction.create({
    name,
    parameterTypes: [VARCHAR],
    returnType: DOUBLE,
    mainFunction: (_, input, output) => {
      for (const [row, text] of input.getColumnValues(0).entries())
        output.setItem(row, text === null ? null : of(textOf(text, 0)))
      output.flush()
    },
  })
}

async function* streamChunks(
  connection: DuckDBConnection,
  sql: string,
  track: <T>(work: Promise<T>) => Promise<T>,
): AsyncGenerator<ColumnChunk> {
  const result = await track(connection.stream(sql))
  for (;;) {
    const chunk = await track(result.fetchChunk())
    if (chunk === null || chunk.rowCount === 0) return
    yield columnChunk(chunk)
  }
}

function columnChunk(chunk: DuckDBDataChunk): ColumnChunk {
  return {
    rows: chunk.rowCount,
    doubles: (column) => numbers(chunk, column, Float64Array),
    floats: (column) => numbers(chunk, column, Float32Array),
    strings: (column) => chunk.getColumnValues(column).map((value) => textOf(value, column)),
  }
}

function textOf(value: unknown, column: number): string {
  if (value === null) return ''
  if (typeof value !== 'string')
    throw new TypeError(`Column ${column} of the query is ${typeof value}, not VARCHAR: cast it in the query`)
  return value
}

function numbers<T extends Float64Array | Float32Array>(
  chunk: DuckDBDataChunk,
  column: number,
  type: new (size: number) => T,
): T {
  const vector = chunk.getColumnVector(column)
  const items = vectorItems(vector)
  if (!(items instanceof type)) {
    const found = String(vector.type)
    throw new TypeError(`Column ${column} of the query is ${found}, not ${type.name}: cast it in the query`)
  }
  // Most chunks hold no NULL and have no validity mask; only with one does each row need a look.
  const validity: unknown = Reflect.get(vector, 'validity')
  if (typeof validity === 'object' && validity !== null && Reflect.get(validity, 'data') !== null) {
    for (let row = 0; row < items.length; row++) if (vector.getItem(row) === null) items[row] = NaN
  }
  return items
}

/**
 * The typed array behind a vector. DuckDB's client declares it private and offers only single values, which makes
 * reading ten times as slow. Its own accessors use this array.
 */
export function vectorItems(vector: object): unknown {
  return Reflect.get(vector, 'items')
}

/** Text as a SQL literal. */
export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** A name (of a column, a table) as a SQL identifier. */
export function sqlName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
