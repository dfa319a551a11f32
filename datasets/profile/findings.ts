import type { DatasetSchema } from '../table/dataset.ts'
import { DAY, HOUR } from '../table/transaction.ts'
import type { Profile } from './profile.ts'

/** Rows below which nothing is said of what all of them have in common. */
const ENOUGH = 100

/** What looks wrong in a dataset, in sentences that say what to do. Nothing here stops a command. */
export function findingsOf(profile: Profile, schema: DatasetSchema): string[] {
  if (profile.rows < ENOUGH) return profile.stopped === null ? [] : [profile.stopped]
  return [
    ...(profile.stopped === null ? [] : [profile.stopped]),
    ...timeFindings(profile, schema),
    ...labelFindings(profile, schema),
    ...amountFindings(profile),
    ...keyFindings(profile, schema),
    ...columnFindings(profile),
  ]
}

function timeFindings({ rows, from, to, atMidnight }: Profile, { time }: DatasetSchema): string[] {
  if (time === 'none') return []
  const found: string[] = []
  if (to < 366 * DAY && time.origin === undefined)
    found.push(`All times lie in 1970: look at the time's unit (${time.unit}), or give its origin.`)
  if (to - from < HOUR)
    found.push(`All rows lie within ${minutes(to - from)} minutes: look at the time's unit (${time.unit}).`)
  if (atMidnight === rows)
    found.push('All times are at midnight: they are dates, and windows shorter than a day see nothing.')
  return found
}

function minutes(length: number): number {
  return Math.ceil(length / 60_000)
}

function labelFindings({ rows, frauds, genuine }: Profile, { label }: DatasetSchema): string[] {
  if (label === undefined) return []
  if (frauds + genuine === 0) return [`The label ${label.column} is empty in every row: nothing can be learnt from it.`]
  if (frauds === 0) return [`The label ${label.column} knows no fraud among ${rows} rows.`]
  if (genuine === 0) return [`By the label ${label.column} every row is a fraud.`]
  return frauds > genuine ? [`By the label ${label.column} most rows are frauds: are 0 and 1 the other way round?`] : []
}

function amountFindings({ rows, amounts }: Profile): string[] {
  if (amounts.min === amounts.max) return [`Every amount is ${amounts.min}.`]
  return 2 * amounts.zeros > rows ? ['More than half of the amounts are 0.'] : []
}

function keyFindings({ rows, entities }: Profile, schema: DatasetSchema): string[] {
  return entities.flatMap(({ name, column, blank, distinct, missed, repeats, cardNumbers, wholeFloats }, e) => {
    if (blank === rows) return [`No row has a ${name} (${column}).`]
    const found: string[] = []
    const one = blank === 0 ? '' : ' with one'
    if (missed > 0 && !repeats)
      found.push(
        `The first ${distinct} rows${one} have a ${name} (${column}) of their own each: there no key has a history.`,
      )
    if (missed === 0 && distinct === rows - blank)
      found.push(`Every row${one} has a ${name} (${column}) of its own: no key has a history.`)
    if (missed === 0 && distinct === 1) found.push(`All rows${one} have the same ${name} (${column}).`)
    const entity = schema.entities[e]
    if (cardNumbers && !('of' in entity) && entity.token !== true)
      found.push(`${column} seems to hold card numbers: mark the entity ${name} with token: true.`)
    if (wholeFloats) found.push(floatsFinding(column))
    return found
  })
}

/** pandas makes floats of whole numbers where one is missing. A producer does not. */
function floatsFinding(column: string): string {
  return (
    `${column} holds whole numbers as floats, such as 7.0, as pandas writes them beside empty cells: a record that ` +
    'says 7 does not match them. Write whole numbers (in pandas the type Int64).'
  )
}

function columnFindings({ rows, columns }: Profile): string[] {
  return columns.flatMap(({ column, blank, min, max, distinct, moreDistinct, tellsLabel, wholeFloats }) => {
    if (blank === rows) return [`${column} is empty in every row.`]
    if (tellsLabel)
      return [`${column} alone tells all frauds from all others: does it hold the label, or what came after?`]
    if (20 * blank > 19 * rows) return [`${column} is empty in ${Math.floor((100 * blank) / rows)} % of the rows.`]
    const one = distinct === 1 && moreDistinct !== true
    const constant = blank === 0 && (one || (min !== undefined && min === max))
    return [
      ...(constant ? [`${column} has one value in all rows.`] : []),
      ...(wholeFloats === true ? [floatsFinding(column)] : []),
    ]
  })
}
