import type { Guess } from '../../datasets/guess/roles.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { durationText } from './dataset-file.ts'
import { codeKey, codeText, wrapped } from './words.ts'

/** A share of frauds that a key starts with counts for this many transactions. */
const WEIGHT = 20

interface Service {
  name: string
  guess: Guess
  /** Share of frauds among the rows that were looked at. */
  frauds: number
}

/** A project's first features: what fits the columns of its table, as a definition to go on from. */
export function featuresFile({ name, guess, frauds }: Service): string {
  const { schema, time } = guess
  const entities = time === undefined ? [] : schema.entities.map((entity) => entity.name)
  const windows = windowsOf(guess)
  const risks = schema.label === undefined ? [] : entities.slice(1).map((entity) => riskView(entity, guess, frauds))
  const parts = [
    requestView(guess),
    ...entities.map((entity, e) => velocityView(entity, e === 0 ? entities.slice(1) : [], windows)),
    ...risks,
    ...entities.slice(0, 1).map((entity) => derivedView(entity, guess, windows)),
  ]
  const used = BUILDERS.filter((builder) => parts.some((part) => new RegExp(`\\b${builder}\\(`).test(part)))
  return `import {
${wrapped([...used, 'service'].toSorted(), '  ')}
} from 'fd/features'

// What a model of "${name}" reads. It is data, stored in the model's card: the same bits in training and in the
// stream. After a change: fd features check, then fd features describe ${name}.
// What expressions can say: fd features functions.
${entities.length === 0 ? '' : windowList(windows)}${columnLists(guess)}
export default service(${codeText(name)}, ${codeText(`Amount, columns and history of ${name}`)}, [
${parts.join('\n')}
])
`
}

const BUILDERS = [
  'amount',
  'categorical',
  'count',
  'derived',
  'distinct',
  'each',
  'isNew',
  'mean',
  'numeric',
  'request',
  'secondsSincePrevious',
  'targetMean',
  'view',
]

/** Windows that the history is long enough for, the shortest first. */
function windowsOf({ time }: Guess): string[] {
  const span = time === undefined ? 0 : time.to - time.from
  if (span >= 30 * DAY) return ['1h', '24h', '7d', '30d']
  return span >= 7 * DAY ? ['10m', '1h', '24h', '7d'] : ['10m', '1h', '24h']
}

function windowList(windows: readonly string[]): string {
  return `
// Windows are exact: (t - 7d, t], to the millisecond. last(5): the last five, whenever they were.
const windows = [${windows.map(codeText).join(', ')}]
`
}

function columnLists({ schema: { numeric, categorical } }: Guess): string {
  const list = (name: string, columns: string[]): string =>
    columns.length === 0 ? '' : `const ${name} = [\n${wrapped(columns.map(codeText), '  ')}\n]\n`
  const lists = list('numbers', numeric) + list('kinds', categorical)
  const advice = '// Columns as they are. Leave out what tells nothing: a model of fewer is quicker and steadier.'
  return lists === '' ? '' : `\n${advice}\n${lists}`
}

function requestView(guess: Guess): string {
  const { schema, time } = guess
  const own = (name: string): string => codeKey(ownName(guess, name))
  const km = distance(schema.numeric)
  const hours = [
    '    // UTC. On a clock of your own: hour(time, "Europe/Berlin")',
    `    ${own('hour')}: 'hour(time)',`,
    `    ${own('weekday')}: 'weekday(time)',`,
  ]
  return [
    '  // The transaction itself.',
    '  request({',
    `    ${own('amount')}: amount(),`,
    ...(time === undefined || time.madeUp ? [] : hours),
    ...(km === undefined ? [] : [`    ${own('km')}: '${km}',`]),
    ...(schema.numeric.length === 0 ? [] : ['    ...each(numbers, (column) => ({ [column]: numeric(column) })),']),
    ...(schema.categorical.length === 0
      ? []
      : ['    ...each(kinds, (column) => ({ [column]: categorical(column) })),']),
    '  }),',
  ].join('\n')
}

/** The name of a feature that is no column, where columns are features under their own names. */
function ownName({ schema }: Guess, name: string): string {
  return schema.numeric.includes(name) || schema.categorical.includes(name) ? `of_${name}` : name
}

/** The distance between two places, where the columns have two. */
function distance(numeric: readonly string[]): string | undefined {
  const named = (pattern: RegExp): string[] =>
    numeric.filter((column) => /^[a-z_]\w*$/i.test(column) && pattern.test(column))
  const [latitudes, longitudes] = [named(/(^|_)lat(itude)?$/i), named(/(^|_)(lng|long?|longitude)$/i)]
  if (latitudes.length !== 2 || longitudes.length !== 2) return undefined
  return `haversine(${latitudes[0]}, ${longitudes[0]}, ${latitudes[1]}, ${longitudes[1]})`
}

/** @param others entities that are new to this one, or many of them. */
function velocityView(entity: string, others: readonly string[], windows: readonly string[]): string {
  const longest = windows[windows.length - 1]
  const values = others.flatMap((other) => [
    `    ${entity}_${other}s_24h: distinct(${codeText(other)}, '24h'),`,
    `    ${entity}_new_${other}: isNew(${codeText(other)}, ${codeText(longest)}),`,
  ])
  return [
    '',
    `  // How often, how much and how long ago: the ${entity}'s own history, this transaction included.`,
    `  view(${codeText(entity)}, { entity: ${codeText(entity)} }, {`,
    '    ...each(windows, (w) => ({',
    `      [\`${entity}_n_\${w}\`]: count(w),`,
    `      [\`${entity}_mean_\${w}\`]: mean('amount', w),`,
    '    })),',
    ...values,
    `    ${entity}_seconds_since_previous: secondsSincePrevious(),`,
    '  }),',
  ].join('\n')
}

function riskView(entity: string, { schema, time }: Guess, frauds: number): string {
  const window = time !== undefined && time.to - time.from >= 28 * DAY ? '28d' : '7d'
  const late = schema.label?.delay === undefined ? '' : `delay: '${durationText(schema.label.delay)}', `
  const prior = Number(Math.max(frauds, 0.0001).toPrecision(2))
  return `
  // The share of frauds at this ${entity}, drawn towards that of all. The window ends where labels are known.
  view('${entity}_risk', { entity: ${codeText(entity)}, includesCurrent: false }, {
    ${entity}_risk_${window}: targetMean('${window}', { ${late}prior: ${prior}, weight: ${WEIGHT} }),
  }),`
}

function derivedView(entity: string, guess: Guess, windows: readonly string[]): string {
  const usual = `${entity}_mean_${windows[windows.length - 1]}`
  return `
  // Of features before: how many times the usual amount this one is.
  derived({ ${entity}_times_usual: '${ownName(guess, 'amount')} / max(${usual}, 1.0)' }),`
}
