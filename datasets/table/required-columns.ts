import { UserError } from '../../configs/user-error.ts'
import { quotedText, shownText } from '../file/shown-text.ts'
import { columnEntities, type DatasetSchema } from './dataset.ts'
import type { TableSource } from './source.ts'

/** The column of the times; undefined where there are none. */
export function columnOf(time: DatasetSchema['time']): string | undefined {
  return time === 'none' ? undefined : time.column
}

/** Types of cells that hold several values. */
const NESTED = /^(STRUCT|MAP|UNION)|\]$/

/**
 * The columns of a schema must be there, and of types that their roles can be read from.
 *
 * @throws UserError that names the first column of another type, or all that are missing.
 */
export function requireColumns(source: TableSource, schema: DatasetSchema): void {
  const { id, time, amount, label, numeric, categorical } = schema
  const keys = columnEntities(schema).map(({ entity }) => entity.column)
  const roles = [id?.column, columnOf(time), amount.column, label?.column, label?.knownAt]
  const wanted = [...roles, ...keys, ...numeric, ...categorical].filter((column) => column !== undefined)
  requireTypes(source, schema, wanted)
  const missing = wanted.filter((column) => !source.types.has(column))
  if (missing.length === 0) return
  throw new UserError(
    `${source.file} has no column ${shownNames(missing)}. It has: ${shownNames([...source.types.keys()])}.\n` +
      nameHint(missing, source) +
      'Give another file with --data FILE, or describe this one: fd init DIR --from FILE',
  )
}

function requireTypes({ file, types }: TableSource, schema: DatasetSchema, wanted: readonly string[]): void {
  const { id, time, amount } = schema
  const entities = columnEntities(schema).map(({ entity }) => entity)
  const nested = wanted.find((column) => NESTED.test(types.get(column) ?? ''))
  if (nested !== undefined) {
    throw new UserError(
      `${file}, column ${nested}: its cells are of the type ${types.get(nested)}, which holds several values. ` +
        'Write each of them as a column of its own.',
    )
  }
  const counted = time === 'none' || time.unit === 'timestamp' ? [] : [time.column]
  const keys = [...(id === undefined ? [] : [id]), ...entities].filter(({ type }) => type === 'integer')
  const truth = [amount.column, ...counted, ...keys.map(({ column }) => column)].find(
    (column) => types.get(column) === 'BOOLEAN',
  )
  if (truth !== undefined)
    throw new UserError(`${file}, column ${truth}: its cells are true or false, and its role needs numbers.`)
}

/** What it may be instead: no Parquet, names that differ in capitals, accents or blanks, or another delimiter. */
function nameHint(missing: readonly string[], { file, csv, types }: TableSource): string {
  if (csv !== undefined && /\.(parquet|pq)$/i.test(file))
    return 'By its bytes it is no Parquet, so it was read as CSV.\n'
  const known = new Map([...types.keys()].map((name) => [plainName(name), name]))
  const wanted = missing.find((name) => plainName(name) !== '' && known.has(plainName(name)))
  if (wanted !== undefined) {
    const near = quotedText(known.get(plainName(wanted)) ?? '', { mask: 'all' })
    return `Is ${wanted} its column ${near}? A name is given as the file writes it.\n`
  }
  return csv !== undefined && types.size === 1 ? 'Cells are divided by a comma, a semicolon, a tab or a |.\n' : ''
}

/** The letters and figures of a name, without capitals and accents. */
function plainName(name: string): string {
  const letters = name.normalize('NFKD').toLowerCase()
  return letters.replaceAll(/[^\p{L}\p{N}]/gu, '')
}

/** Most names of columns that a message lists. */
const MOST_NAMES = 60

/** Blanks at the ends of a name would not be seen. A file without a header has values here, which may be of cards. */
function shownNames(names: readonly string[]): string {
  const shown = names
    .slice(0, MOST_NAMES)
    .map((name) => (name === name.trim() ? shownText(name, { mask: 'all' }) : quotedText(name, { mask: 'all' })))
  const more = names.length - shown.length
  return shown.join(', ') + (more > 0 ? `, and ${more} more` : '')
}
