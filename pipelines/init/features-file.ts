import type { Guess } from '../../datasets/guess/roles.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { durationText } from './dataset-file.ts'
import { codeKey, codeText, wrapped } from './words.ts'

/** A share of frauds that a key starts with, and how many transactions that counts for. */
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
  const views = time === undefined ? [] : schema.entities.map((entity) => velocityView(entity.name))
  const delay = schema.label?.delay
  const risks =
    time === undefined || schema.label === undefined
      ? []
      : schema.entities.slice(1).map(({ name: entity }) => riskView(entity, delay, time.to - time.from, frauds))
  const parts = [requestView(guess), ...views, ...risks]
  const used = BUILDERS.filter((builder) => parts.some((part) => new RegExp(`\\b${builder}\\(`).test(part)))
  const imported = wrapped([...used, 'service'].toSorted(), '  ')
  const windows = views.length === 0 ? '' : `\n${WINDOWS_COMMENT}\nconst windows = [${windowsOf(guess).join(', ')}]\n`
  return `import {
${imported}
} from 'fd/features'

// What a model of "${name}" reads. It is data, stored in the model's card: the same bits in training and in the stream.
// After a change: fd features check, then fd features describe ${name}.
${windows}${columnLists(guess)}
export default service(${codeText(name)}, ${codeText(`Amount, columns and history of ${name}`)}, [
${parts.join('\n')}
])
`
}

const BUILDERS = [
  'amount',
  'categorical',
  'count',
  'each',
  'mean',
  'night',
  'numeric',
  'request',
  'secondsSincePrevious',
  'targetMean',
  'view',
  'weekend',
]
const WINDOWS_COMMENT = '// Windows are exact: (t - 7d, t], to the millisecond. last(5): the last five, whenever.'

/** Windows that the history is long enough for. */
function windowsOf({ time }: Guess): string[] {
  const span = time === undefined ? 0 : time.to - time.from
  const windows = span >= 30 * DAY ? ['1h', '24h', '7d', '30d'] : span >= 7 * DAY ? ['10m', '1h', '24h', '7d'] : []
  return (windows.length > 0 ? windows : ['10m', '1h', '24h']).map(codeText)
}

function columnLists({ schema: { numeric, categorical } }: Guess): string {
  const list = (name: string, columns: string[]): string =>
    columns.length === 0 ? '' : `const ${name} = [\n${wrapped(columns.map(codeText), '  ')}\n]\n`
  const lists = list('numbers', numeric) + list('kinds', categorical)
  return lists === ''
    ? ''
    : `\n// Columns as they are. Leave out what tells nothing: a model with fewer is quicker and steadier.\n${lists}`
}

function requestView({ schema, time }: Guess): string {
  const taken = new Set([...schema.numeric, ...schema.categorical])
  const own = (name: string): string => codeKey(taken.has(name) ? `of_${name}` : name)
  const hours =
    time === undefined || time.madeUp ? [] : [`    ${own('weekend')}: weekend(),`, `    ${own('night')}: night(),`]
  return [
    '  // The transaction itself.',
    '  request({',
    `    ${own('amount')}: amount(),`,
    ...hours,
    ...(schema.numeric.length === 0 ? [] : ['    ...each(numbers, (column) => ({ [column]: numeric(column) })),']),
    ...(schema.categorical.length === 0
      ? []
      : ['    ...each(kinds, (column) => ({ [column]: categorical(column) })),']),
    '  }),',
  ].join('\n')
}

function velocityView(entity: string): string {
  return `
  // How often, how much and how long ago: the ${entity}'s own history, this transaction included.
  view(${codeText(entity)}, { entity: ${codeText(entity)} }, {
    ...each(windows, (w) => ({
      [\`${entity}_n_\${w}\`]: count(w),
      [\`${entity}_mean_\${w}\`]: mean('amount', w),
    })),
    ${entity}_seconds_since_previous: secondsSincePrevious(),
  }),`
}

function riskView(entity: string, delay: number | undefined, span: number, frauds: number): string {
  const window = span >= 28 * DAY ? '28d' : '7d'
  const late = delay === undefined ? '' : `delay: '${durationText(delay)}', `
  const prior = Number(Math.max(frauds, 0.0001).toPrecision(2))
  return `
  // The share of frauds at this ${entity}, drawn towards that of all. The window ends where labels are known.
  view('${entity}_risk', { entity: ${codeText(entity)}, includesCurrent: false }, {
    ${entity}_risk_${window}: targetMean('${window}', { ${late}prior: ${prior}, weight: ${WEIGHT} }),
  }),`
}
