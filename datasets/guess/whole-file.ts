import { openDatabase } from '../table/duckdb.ts'
import { asDeclared, cellText, openTableSource, readError, type TableSource } from '../table/source.ts'
import { labelDelay, type Guess } from './roles.ts'
import { untilLast } from './time-guess.ts'

/** A guess that holds for every row of the file, and what had to change for it, in words. */
export interface CheckedGuess {
  guess: Guess
  rows: number
  changes: string[]
}

/** Most decimals that an amount and a declared column may have. */
const MOST_DECIMALS = 6

/**
 * Asks the whole file whether what its first rows look like holds: ids that no two rows share, amounts below 0, keys
 * that are missing, whole numbers, decimals. What does not hold is guessed anew.
 *
 * @throws UserError for a file that cannot be read to its end.
 */
export async function checkWhole(file: string, guess: Guess): Promise<CheckedGuess> {
  const facts = await readFacts(file, guess)
  const changes: string[] = []
  const time = guess.time === undefined ? undefined : untilLast(guess.time, facts.lastTime)
  const { schema } = guess
  const checked = { ...schema }
  if (schema.id !== undefined && (facts.of('id_filled') < facts.rows || facts.of('id_distinct') < facts.rows)) {
    delete checked.id
    changes.push(
      `${schema.id.column} is no id: ${facts.rows - facts.of('id_distinct')} rows have another row's, or none`,
    )
  } else if (schema.id?.type === 'integer' && facts.of('id_whole') < facts.rows) {
    checked.id = { ...schema.id, type: 'string' }
  }
  if (schema.label !== undefined) checked.label = { column: schema.label.column, ...labelDelay(time) }
  if (facts.of('amount_least') < 0) checked.refunds = true
  const decimals = facts.of('amount_decimals')
  checked.amount = { ...schema.amount, minorUnits: Math.min(MOST_DECIMALS, Math.max(2, decimals)) }
  if (decimals > MOST_DECIMALS) {
    changes.push(`${schema.amount.column} has more than ${MOST_DECIMALS} decimals: round it where the file is made`)
  }
  checked.entities = entitiesThatHold(guess, facts, changes)
  const exact = Object.entries(schema.decimals ?? {}).map(([column]): [string, number] => [
    column,
    facts.of(`decimals_${schema.numeric.indexOf(column)}`),
  ])
  checked.numeric = schema.numeric.filter((column, n) => {
    const bad = facts.of(`bad_${n}`)
    if (bad > 0) changes.push(`${column} is no column of numbers: ${bad} cells are none`)
    return bad === 0
  })
  const declared = exact.filter(([column, places]) => checked.numeric.includes(column) && places <= MOST_DECIMALS)
  delete checked.decimals
  if (declared.length > 0) checked.decimals = Object.fromEntries(declared)
  const dropped = schema.numeric.filter((column) => !checked.numeric.includes(column))
  const unused = [...guess.unused, ...dropped.map((column) => ({ column, why: 'not all of its cells are numbers' }))]
  return { guess: { schema: checked, time, unused }, rows: facts.rows, changes }
}

function entitiesThatHold({ schema }: Guess, facts: FileFacts, changes: string[]): Guess['schema']['entities'] {
  const entities = schema.entities.map((entity, e) => {
    const filled = facts.of(`key_${e}_filled`)
    const whole = entity.type === 'integer' && facts.of(`key_${e}_whole`) === filled
    const type: typeof entity.type = whole ? 'integer' : 'string'
    return { ...entity, type, ...(filled < facts.rows ? { optional: true } : {}) }
  })
  const first = entities.findIndex(({ optional }) => optional !== true)
  if (entities.length === 0 || first === 0) return entities
  if (first === -1) {
    changes.push(
      `no entity is in every row, so none divides the stream: ${entities.map(({ name }) => name).join(', ')}`,
    )
    return []
  }
  return [entities[first], ...entities.filter((_, e) => e !== first)]
}

interface FileFacts {
  rows: number
  /** The time of the last row as the file has it; '' where there are no times. */
  lastTime: string
  of(name: string): number
}

async function readFacts(file: string, { schema }: Guess): Promise<FileFacts> {
  await using database = await openDatabase()
  const source = asDeclared(await openTableSource(database, file), schema)
  const selected = [
    'count(*)::DOUBLE AS n',
    ...(schema.id === undefined ? [] : keyFacts(source, schema.id.column, 'id')),
    ...(schema.id === undefined ? [] : [`count(DISTINCT ${source.ref(schema.id.column)}) AS id_distinct`]),
    `min(${number(source, schema.amount.column)}) AS amount_least`,
    `max(${decimalsOf(source, schema.amount.column)}) AS amount_decimals`,
    ...schema.entities.flatMap(({ column }, e) => keyFacts(source, column, `key_${e}`)),
    ...schema.numeric.flatMap((column, n) => [
      `count_if(${there(source, column)} AND ${number(source, column)} IS NULL) AS bad_${n}`,
      ...(schema.decimals?.[column] === undefined ? [] : [`max(${decimalsOf(source, column)}) AS decimals_${n}`]),
    ]),
  ]
  try {
    const [found] = await database.rows(`SELECT ${selected.join(', ')} FROM ${source.sql}`)
    const rows = Number(found.n)
    const lastTime =
      schema.time === 'none' ? '' : await cellText(database, source, schema.time.column, Math.max(0, rows - 1))
    return { rows, lastTime, of: (name) => Number(found[name] ?? 0) }
  } catch (error) {
    throw readError(file, error)
  }
}

function there(source: TableSource, column: string): string {
  return `trim(coalesce(${source.ref(column)}::VARCHAR, '')) <> ''`
}

function number(source: TableSource, column: string): string {
  return `try_cast(${source.number(column)} AS DOUBLE)`
}

function keyFacts(source: TableSource, column: string, name: string): string[] {
  const whole = `regexp_full_match(${source.ref(column)}::VARCHAR, '0|[1-9][0-9]{0,14}')`
  return [`count_if(${there(source, column)}) AS ${name}_filled`, `count_if(${whole}) AS ${name}_whole`]
}

/** Decimals of a number without zeros at its end; more than any where it is written with an exponent. */
function decimalsOf(source: TableSource, column: string): string {
  const text = `${source.number(column)}::VARCHAR`
  return (
    `CASE WHEN ${number(source, column)} IS NULL THEN 0 WHEN contains(lower(${text}), 'e') THEN 99 ` +
    `ELSE length(rtrim(split_part(trim(${text}), '.', 2), '0')) END`
  )
}
