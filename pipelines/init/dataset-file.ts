import type { Guess } from '../../datasets/guess/roles.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, type DurationMs } from '../../datasets/table/transaction.ts'
import { wrapped, yamlText } from './words.ts'

/** A dataset's YAML, with comments that say what was guessed and what else there is. */
export function datasetFile(name: string, path: string, guess: Guess, changes: readonly string[]): string {
  const { schema } = guess
  return `# The table of "${name}": which column plays which role, as fd init guessed. Mend what is wrong.
#   fd datasets describe ${name}       what the rows look like, and what looks wrong
#   fd features check${' '.repeat(name.length)}            whether the features still fit

description: ${yamlText(`transactions of ${name}`)}

# Relative to the project. CSV (also gzipped or zipped) or Parquet; --data FILE stands above it.
path: ${yamlText(path)}

# What a model reads: features/${name}.ts
service: ${yamlText(name)}

# By time, the first 70 % of the rows train, the rest tests.
split: { kind: ordered, trainShare: 0.7 }
${changes.map((change) => `\n# Seen in the whole file: ${change}.\n`).join('')}
schema:
${idText(schema)}
${timeText(guess)}
${amountText(schema)}
${labelText(schema)}
${entitiesText(guess)}
${attributesText(schema)}${formText(schema)}${unusedText(guess)}`
}

function idText({ id }: DatasetSchema): string {
  if (id === undefined) return '  # No column is the id of a row: its number in the file is.\n'
  return `  # Unique. A transaction that comes again with the same id counts once.
  id: { column: ${yamlText(id.column)}, type: ${id.type} }
`
}

function timeText({ schema: { time }, time: guess }: Guess): string {
  if (time === 'none') {
    return '  # No times: rows in their order, and no features of history.\n  time: none\n'
  }
  const parts = [`column: ${yamlText(time.column)}`, `unit: ${time.unit}`]
  if (time.format !== undefined) parts.push(`format: ${JSON.stringify(time.format)}`)
  if (time.origin !== undefined) parts.push(`origin: '${new Date(time.origin).toISOString().slice(0, 10)}'`)
  const exchanged = guess?.exchanged
  const notes = [
    guess?.madeUp === true &&
      'Counted from a start that the file does not say, so this origin is made up: no weekday and no hour is known.',
    exchanged !== undefined && `Day and month cannot be told apart in the first rows: it may be ${exchanged}.`,
    guess?.ordered === false && 'The rows are not in order of time: give --sort to backfill, train and produce.',
    time.unit === 'timestamp' && 'UTC, unless it says otherwise. Times on a local clock: add zone: Europe/Berlin',
  ]
  const comments = notes.filter((note) => note !== undefined && note !== false).map((note) => `  # ${note}\n`)
  return `${comments.join('')}  time: { ${parts.join(', ')} }\n`
}

function amountText({ amount, refunds }: DatasetSchema): string {
  const below = refunds === true ? '  # Amounts below 0 are refunds: no spending, but scored.\n  refunds: true\n' : ''
  return `  # Kept as whole units of 10^-${amount.minorUnits}, so that sums are exact.
  amount: { column: ${yamlText(amount.column)}, minorUnits: ${amount.minorUnits} }
${below}`
}

function labelText({ label }: DatasetSchema): string {
  if (label === undefined) {
    return '  # No label was found. With one, models can be judged:\n  #   label: { column: is_fraud, delay: 7d }\n'
  }
  const delay = label.delay === undefined ? '' : `, delay: ${durationText(label.delay)}`
  return `  # delay: how long after the transaction a fraud becomes known. No file says it: ask who works the cases.
  label: { column: ${yamlText(label.column)}${delay} }
`
}

/** A length of time as a definition gives it. */
export function durationText(span: DurationMs): string {
  return span % DAY === 0 ? `${span / DAY}d` : `${span / 3_600_000}h`
}

function entitiesText({ schema: { entities } }: Guess): string {
  if (entities.length === 0) {
    return `  # Whose history features are about. None was found: name the columns of keys.
  #   entities: [{ name: card, column: card_id, type: string }]
`
  }
  const lines = entities.map(({ name, column, type, token, optional }) => {
    const more = (token === true ? ', token: true' : '') + (optional === true ? ', optional: true' : '')
    return `    - { name: ${yamlText(name)}, column: ${yamlText(column)}, type: ${type}${more} }`
  })
  const pair = entities.length < 2 ? [] : [entities[0].name, entities[1].name]
  const compound =
    pair.length === 0 ? '' : `    # Of several: - { name: ${pair.join('_')}, of: [${pair.join(', ')}] }\n`
  return `  # Whose history features are about. The first divides the stream among scorers; optional: a row may lack it.
  # Card numbers become keyed tokens with token: true (and FD_TOKEN_KEY), before anything is stored.
  entities:
${lines.join('\n')}
${compound}`
}

function attributesText({ numeric, categorical, decimals = {} }: DatasetSchema): string {
  const numbers = numeric.map((column) =>
    Object.hasOwn(decimals, column)
      ? `{ column: ${yamlText(column)}, decimals: ${decimals[column]} }`
      : yamlText(column),
  )
  const list = (items: string[]): string => (items.length === 0 ? '[]' : `[\n${wrapped(items, '    ')}\n  ]`)
  return `  # Columns of numbers. Those with decimals can be summed exactly: sum('${numeric[0] ?? 'COLUMN'}', '7d').
  numeric: ${list(numbers)}

  # Kinds: the model reads their names.
  categorical: ${list(categorical.map(yamlText))}
`
}

function formText({ missing, numbers }: DatasetSchema): string {
  const parts = [
    ...(missing === undefined ? [] : [`  # Texts that mean empty.\n  missing: ${JSON.stringify(missing)}\n`]),
    ...(numbers === undefined ? [] : [`  numbers: ${JSON.stringify(numbers)}\n`]),
  ]
  return parts.length === 0 ? '' : `\n${parts.join('')}`
}

function unusedText({ unused }: Guess): string {
  if (unused.length === 0) return ''
  const shown = unused.slice(0, 20).map(({ column, why }) => `#   ${JSON.stringify(column)}: ${why}\n`)
  const more = unused.length > shown.length ? `#   and ${unused.length - shown.length} more\n` : ''
  return `\n# Columns without a role:\n${shown.join('')}${more}`
}
