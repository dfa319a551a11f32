import { UserError } from '../../configs/user-error.ts'
import { DEFAULT_ID, FRAUD_KNOWN_AT, type ColumnEntity, type DatasetSchema, type KeyRole } from '../table/dataset.ts'
import type { NumberForm } from '../table/number-form.ts'
import { parseInstant } from '../table/time.ts'
import { DAY } from '../table/transaction.ts'
import { entitiesOf } from './entities.ts'
import { factsOf, patternName, type ColumnFacts } from './facts.ts'
import type { TableLook } from './look.ts'
import { rankTimes, timeGuess, type TimeGuess } from './time-guess.ts'

/** Roles that the user gives: a column, or `none`. An entity is `NAME=COLUMN`, or a column alone. */
export interface GivenRoles {
  id?: string | undefined
  time?: string | undefined
  amount?: string | undefined
  label?: string | undefined
  entity?: string[] | undefined
}

/** What the columns of a file seem to be. */
export interface Guess {
  schema: Omit<DatasetSchema, 'entities'> & { entities: ColumnEntity[] }
  /** Of the time; undefined where there is none. */
  time: TimeGuess | undefined
  /** Columns without a role, and why. */
  unused: { column: string; why: string }[]
}

const AMOUNT = [
  /^(tx_?|trans(action)?_?)?(amount|amt)$/i,
  /amount|amt/i,
  /^(price|value|total|sum|betrag|montant|importe)/i,
]
const LABEL = [/^(is_?|tx_?)?fraud(ulent)?$/i, /^(label|class|target|chargeback)$/i, /fraud(?!.*flag)/i]
const ID = [
  /^(transaction|tx|trans|payment|order)?_?(id|num|number|no|ref(erence)?)$/i,
  /(^|_|[a-z])(id|num|uuid|hash)$/i,
]
/** A category of more values than this is a name of something, and no kind. */
const MOST_CATEGORIES = 1000
/** More numeric columns than this are not declared with their decimals: nobody sums hundreds of columns. */
const MOST_DECLARED = 40

/**
 * What the columns of a file seem to be, by their names and their first rows. What the user gives stands.
 *
 * @throws UserError when a given column is not there, or no column can be the amount.
 */
export function guessRoles(look: TableLook, given: GivenRoles): Guess {
  if (look.rows === 0) throw new UserError(`${look.file} has columns but no rows. Give another file with --data FILE.`)
  const { facts, form } = factsOf(look)
  const column = (name: string | undefined): ColumnFacts | undefined => named(look.file, facts, name)
  const time = timeOf(facts, given.time, column)
  const free = new Set(facts.filter(({ name, filled }) => name !== time?.role.column && filled.length > 0))
  const take = (found: ColumnFacts | undefined): ColumnFacts | undefined => {
    if (found !== undefined) free.delete(found)
    return found
  }
  const label = take(given.label === undefined ? labelOf(free) : column(given.label))
  const amount = take(given.amount === undefined ? amountOf(free) : column(given.amount))
  if (amount === undefined) throw noAmount(look, facts)
  const id = take(given.id === undefined ? idOf(free, look.rows) : column(given.id))
  const entities = entitiesOf(
    free,
    look.rows,
    given.entity?.map((text) => givenEntity(text, column)),
  )
  entities.forEach((entity) => take(facts.find(({ name }) => name === entity.column)))
  return {
    schema: {
      ...(id && { id: keyOf(id) }),
      time: time === undefined ? 'none' : time.role,
      ...amountRole(amount),
      ...(label && { label: { column: label.name, ...labelDelay(time) } }),
      entities: time === undefined ? [] : entities,
      ...attributesOf([...free], time),
      ...missingOf(facts),
      ...(form && { numbers: form satisfies NumberForm }),
    },
    time,
    unused: unusedOf(facts, free, time),
  }
}

/** @throws UserError for a column that the file does not have. */
function named(file: string, facts: ColumnFacts[], name: string | undefined): ColumnFacts | undefined {
  if (name === undefined || name === 'none') return undefined
  const found = facts.find((each) => each.name === name)
  if (found !== undefined) return found
  throw new UserError(`${file} has no column "${name}". It has: ${namesOf(facts)}`)
}

function namesOf(facts: readonly ColumnFacts[]): string {
  const shown = facts.slice(0, 40).map(({ name }) => name)
  return shown.join(', ') + (facts.length > shown.length ? ` and ${facts.length - shown.length} more` : '')
}

function noAmount(look: TableLook, facts: readonly ColumnFacts[]): UserError {
  const numbers = facts.filter((each) => each.numbers !== undefined)
  return new UserError(
    `${look.file}: no column looks like an amount. Say which one it is: --amount COLUMN. ` +
      `Columns of numbers: ${numbers.length === 0 ? 'none' : namesOf(numbers)}`,
  )
}

function timeOf(
  facts: ColumnFacts[],
  given: string | undefined,
  column: (name: string | undefined) => ColumnFacts | undefined,
): TimeGuess | undefined {
  if (given === 'none') return undefined
  const chosen = column(given)
  if (chosen === undefined) {
    const guesses = facts.map((each) => [each, timeGuess(each)] as const)
    return rankTimes(guesses.flatMap(([each, guess]) => (guess === undefined ? [] : [[each, guess] as const])))[0]?.[1]
  }
  const guess = timeGuess({ ...chosen, name: chosen.name })
  if (guess !== undefined) return guess
  throw new UserError(
    `The column "${chosen.name}" cannot be read as times: its first is ${JSON.stringify(chosen.filled[0] ?? '')}` +
      `${chosen.empty > 0 ? `, and ${chosen.empty} of its cells are empty` : ''}. Give another one, or --time none.`,
  )
}

/** The first column by the patterns, the likelier pattern first. */
function byName(columns: Iterable<ColumnFacts>, patterns: RegExp[]): ColumnFacts | undefined {
  const all = [...columns]
  return patterns
    .map((pattern) => all.find(({ name }) => pattern.test(patternName(name))))
    .find((found) => found !== undefined)
}

const LABEL_CELLS = new Set(['0', '1', '0.0', '1.0', 'true', 'false', 'yes', 'no', 'y', 'n', 't', 'f'])

function labelOf(columns: Iterable<ColumnFacts>): ColumnFacts | undefined {
  const binary = [...columns].filter(
    ({ filled, distinct }) => distinct <= 2 && filled.every((cell) => LABEL_CELLS.has(cell.trim().toLowerCase())),
  )
  return byName(binary, LABEL)
}

function amountOf(columns: Iterable<ColumnFacts>): ColumnFacts | undefined {
  const numbers = [...columns].filter((each) => each.numbers !== undefined && each.empty === 0)
  const likely = byName(numbers, AMOUNT) ?? numbers.find(({ decimals, distinct }) => decimals === 2 && distinct > 2)
  return likely ?? (numbers.length === 1 ? numbers[0] : undefined)
}

function idOf(columns: Iterable<ColumnFacts>, rows: number): ColumnFacts | undefined {
  const unique = [...columns].filter(
    ({ filled, distinct, digits, numbers }) =>
      filled.length === rows && distinct === rows && (digits || numbers === undefined),
  )
  return byName(unique, ID)
}

function keyOf({ name, whole }: ColumnFacts): KeyRole {
  return { column: name, type: whole ? 'integer' : 'string' }
}

/** `NAME=COLUMN`, or a column whose noun is its name. */
function givenEntity(
  text: string,
  column: (name: string | undefined) => ColumnFacts | undefined,
): { column: ColumnFacts; noun?: string } {
  const equals = text.indexOf('=')
  const [noun, name] = equals === -1 ? [undefined, text] : [text.slice(0, equals), text.slice(equals + 1)]
  const found = column(name)
  if (found === undefined) throw new UserError(`"${text}" names no column. Write --entity card=COLUMN`)
  if (noun !== undefined && !/^[a-z][a-z0-9_]*$/.test(noun)) {
    throw new UserError(`"${noun}" is no noun for an entity: small letters, digits and "_", such as card.`)
  }
  return { column: found, ...(noun === undefined ? {} : { noun }) }
}

function amountRole({ name, numbers, decimals }: ColumnFacts): Pick<DatasetSchema, 'amount' | 'refunds'> {
  const below = numbers?.some((amount) => amount < 0) === true
  return {
    amount: { column: name, minorUnits: Math.min(6, Math.max(2, decimals)) },
    ...(below ? { refunds: true } : {}),
  }
}

/** Frauds become known later, which no file says. A short one leaves no time for it. */
export function labelDelay(time: TimeGuess | undefined): { delay?: number } {
  const span = time === undefined ? 0 : time.to - time.from
  if (span >= 28 * DAY) return { delay: 7 * DAY }
  return span >= 7 * DAY ? { delay: DAY } : {}
}

function attributesOf(
  columns: ColumnFacts[],
  time: TimeGuess | undefined,
): Pick<DatasetSchema, 'numeric' | 'categorical' | 'decimals'> {
  const free = columns.filter((each) => whyUnused(each, time) === undefined)
  const numbers = free.filter((each) => each.numbers !== undefined)
  const exact = numbers.length > MOST_DECLARED ? [] : numbers.filter(({ decimals }) => decimals <= 6)
  return {
    numeric: numbers.map(({ name }) => name),
    categorical: free.filter((each) => each.numbers === undefined).map(({ name }) => name),
    ...(exact.length > 0 && { decimals: Object.fromEntries(exact.map(({ name, decimals }) => [name, decimals])) }),
  }
}

const RESERVED = new Set([DEFAULT_ID.column, FRAUD_KNOWN_AT])

/** Why a column has no use as an attribute. */
function whyUnused(column: ColumnFacts, time: TimeGuess | undefined): string | undefined {
  if (RESERVED.has(column.name)) return 'records of the stream have a field of this name'
  if (column.distinct <= 1 && column.empty === 0) return 'all rows have the same'
  if (/fraud/i.test(column.name)) return 'it seems to tell the label'
  if (column.numbers === undefined) {
    if (column.filled.every((cell) => !Number.isNaN(parseInstant(cell)))) return 'a date'
    if (timeGuess(column) !== undefined) return 'another time'
    return column.distinct > MOST_CATEGORIES ? 'too many texts for a category' : undefined
  }
  const again = timeGuess(column)
  if (time !== undefined && again !== undefined && !again.madeUp) return 'another time'
  if (column.digits && column.decimals === 0 && column.distinct === column.filled.length) return 'each row has its own'
  return column.numbers.some((number) => Math.abs(number) > Number.MAX_SAFE_INTEGER)
    ? 'too large for numbers'
    : undefined
}

function unusedOf(facts: ColumnFacts[], free: ReadonlySet<ColumnFacts>, time: TimeGuess | undefined): Guess['unused'] {
  return facts.flatMap((each) => {
    if (each.filled.length === 0) return [{ column: each.name, why: 'it is empty' }]
    const why = free.has(each) ? whyUnused(each, time) : undefined
    return why === undefined ? [] : [{ column: each.name, why }]
  })
}

function missingOf(facts: readonly ColumnFacts[]): { missing?: string[] } {
  const missing = [...new Set(facts.flatMap((each) => each.missing))].toSorted()
  return missing.length === 0 ? {} : { missing }
}
