import { columnEntities, DEFAULT_ID, FRAUD_KNOWN_AT, type DatasetSchema } from '../table/dataset.ts'

/** Why columns cannot have the roles that a schema gives them; undefined when they can. */
export function roleFault(schema: DatasetSchema): string | undefined {
  return labelFault(schema) ?? nameFault(schema) ?? repeatFault(schema) ?? compoundFault(schema) ?? formFault(schema)
}

/** The columns of the label say what a model is to find out, so it may not read them. */
function labelFault({ label, numeric, categorical }: DatasetSchema): string | undefined {
  const read = [...numeric, ...categorical].find((column) => column === label?.column || column === label?.knownAt)
  if (read === undefined) return undefined
  return (
    `the column ${read} is the label, so it can be no feature: a model would read the answer. ` +
    'Leave it out of numeric and categorical'
  )
}

/** Names that mean something else in a record of the stream, or that no field of a record can have. */
function nameFault(schema: DatasetSchema): string | undefined {
  const { id, time, amount, numeric, categorical } = schema
  const keys = columnEntities(schema).map(({ entity }) => entity.column)
  const times = time === 'none' ? [] : [time.column]
  const others = [...times, amount.column, ...keys, ...numeric, ...categorical]
  const columns = new Set(id === undefined ? others : [id.column, ...others])
  if (columns.has('')) return 'a column needs a name: give the file one in its header'
  if (columns.has('__proto__')) return 'no field of a record is called __proto__: rename the column'
  if (columns.has(FRAUD_KNOWN_AT))
    return `in the stream a record with the field ${FRAUD_KNOWN_AT} is a fraud label: rename the column`
  if (id === undefined && columns.has(DEFAULT_ID.column))
    return (
      `in the stream the field ${DEFAULT_ID.column} holds the number of a row, as it has no id: ` +
      'make the column the id, or rename it'
    )
  return undefined
}

function repeatFault({ entities, numeric, categorical }: DatasetSchema): string | undefined {
  const names = entities.map(({ name }) => name)
  const lists: [string[], string][] = [
    [names, 'the name of two entities'],
    [numeric, 'twice among the numeric columns'],
    [categorical, 'twice among the categorical columns'],
  ]
  for (const [list, where] of lists) {
    const twice = list.find((name, at) => list.indexOf(name) !== at)
    if (twice !== undefined) return `${twice} is ${where}: leave one of them out`
  }
  return undefined
}

/** Most entities that make up another. */
const MOST_PARTS = 4

/** Entities of several columns are made of those that have one, and never the first, whose key divides the log. */
function compoundFault(schema: DatasetSchema): string | undefined {
  const columns = columnEntities(schema).map(({ entity }) => entity.name)
  for (const [index, entity] of schema.entities.entries()) {
    if (!('of' in entity)) continue
    const { name, of } = entity
    const wrong = of.find((part) => !columns.includes(part))
    if (wrong !== undefined)
      return `${name} is of ${wrong}, which is no entity with a column. There are: ${columns.join(', ') || 'none'}`
    if (of.length < 2 || of.length > MOST_PARTS || new Set(of).size < of.length)
      return `${name} is of ${of.join(', ') || 'nothing'}: name two to ${MOST_PARTS} entities, each once`
    if (index === 0)
      return `the key of the first entity divides the log, so it has a column: put ${name} behind ${of.join(', ')}`
  }
  return undefined
}

/**
 * A record of the stream holds one value a column, so its roles must agree on how it is written: as text, as a number,
 * or as a card token, which the file does not hold. A time that is written may also be read as text.
 */
function formFault(schema: DatasetSchema): string | undefined {
  const { id, time, amount, numeric, categorical } = schema
  const entities = columnEntities(schema).map(({ entity }) => entity)
  const tokens = entities.filter(({ token }) => token === true).map(({ column }) => column)
  const keys = [...(id === undefined ? [] : [id]), ...entities.filter(({ token }) => token !== true)]
  const keysOf = (type: string): string[] => keys.filter((key) => key.type === type).map(({ column }) => column)
  const counted = time === 'none' || time.unit === 'timestamp' ? [] : [time.column]
  const written = time === 'none' || time.unit !== 'timestamp' ? [] : [time.column]
  const numbers = new Set([...keysOf('integer'), ...counted, amount.column, ...numeric])
  const texts = [...keysOf('string'), ...categorical]
  const others = new Set([...numbers, ...texts, ...written])
  const column =
    tokens.find((token, at) => others.has(token) || tokens.indexOf(token) !== at) ??
    texts.find((text) => numbers.has(text))
  if (column === undefined) return undefined
  return (
    `the column ${column} has two roles that write it differently: a column with \`token: true\` takes no other ` +
    'role, and one that is text (categorical, a key of `type: string`) is no number in another. ' +
    'A key that is a category too has `type: string`'
  )
}
