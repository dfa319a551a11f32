import type { Profile } from '../../datasets/profile/profile.ts'
import { count, figure, instant, pairs, table } from '../console/output.ts'

/** Columns of a sparkline. */
const WIDTH = 60
const LEVELS = '▁▂▃▄▅▆▇█'

/** What a dataset's rows look like, as `fd datasets describe` prints it. */
export function profileText(profile: Profile, findings: string[]): string {
  if (profile.rows === 0) return wrong(findings)
  const { rows, stopped, frauds, genuine, amounts, entities, columns } = profile
  const refunds = amounts.refunds === 0 ? '' : `, ${count(amounts.refunds)} are refunds`
  const entries: [string, string][] = [
    ['profile of', stopped === null ? 'all rows' : `the first ${count(rows)} rows`],
    ...spanEntries(profile),
    ['frauds', `${count(frauds)} of ${count(frauds + genuine)} labelled${share(frauds, frauds + genuine)}`],
    ['not labelled', count(rows - frauds - genuine)],
    [
      'amounts',
      `${figure(amounts.min)} to ${figure(amounts.max)}, ${count(amounts.zeros)} are 0${refunds}; quartiles ` +
        `${figure(amounts.q25)}, ${figure(amounts.median)}, ${figure(amounts.q75)}, 99 % to ${figure(amounts.q99)}`,
    ],
    ...entities.map(({ name, blank, distinct, missed, most }): [string, string] => {
      const rowsOf = (rows: number): string => count(rows) + (missed === 0 ? '' : ` to ${count(rows + missed)}`)
      const shown = most.map((key) => `${key.value} (${rowsOf(key.rows)})`).join(', ')
      const without = blank === 0 ? '' : `; ${count(blank)} rows without`
      return [name, `${bounded(distinct, missed > 0)} keys${shown === '' ? '' : `, most often ${shown}`}${without}`]
    }),
  ]
  const attributes = table(
    ['column', 'empty', 'distinct', 'least', 'most'],
    columns.map(({ column, blank, distinct, moreDistinct, min, max }) => [
      column,
      blank,
      distinct === undefined ? '' : bounded(distinct, moreDistinct === true),
      range(min, blank === rows),
      range(max, blank === rows),
    ]),
  )
  return [pairs(entries), ...(columns.length === 0 ? [] : [attributes]), wrong(findings)].join('\n\n')
}

function bounded(number: number, more: boolean): string {
  return (more ? 'more than ' : '') + count(number)
}

/** Which days the rows cover; nothing where they have no times. */
function spanEntries({ rows, from, to, rowsByDay }: Profile): [string, string][] {
  const days = rowsByDay.length
  if (days === 0) return []
  return [
    ['span', `${instant(from)} to ${instant(to)}, ${count(days)} ${days === 1 ? 'day' : 'days'}`],
    ['rows a day', `${figure(rows / days)}  ${sparkline(rowsByDay)}`],
  ]
}

function share(part: number, whole: number): string {
  return whole === 0 ? '' : `: ${figure((100 * part) / whole)} %`
}

function range(bound: number | undefined, empty: boolean): string {
  return bound === undefined || empty ? '' : figure(bound)
}

function wrong(findings: string[]): string {
  if (findings.length === 0) return 'Nothing looks wrong.'
  return ['Looks wrong:', ...findings.map((finding) => `- ${finding.replaceAll('\n', '\n  ')}`)].join('\n')
}

/** A bar for each stretch of days, as high as its rows. The lowest is for none. */
export function sparkline(days: number[]): string {
  const width = Math.min(WIDTH, days.length)
  const bars = Array.from({ length: width }, (_, bar) => {
    const [from, to] = [bar, bar + 1].map((edge) => Math.floor((edge * days.length) / width))
    return days.slice(from, to).reduce((sum, rows) => sum + rows, 0) / (to - from)
  })
  const most = Math.max(...bars)
  return bars.map((rows) => LEVELS[Math.round((rows / most) * (LEVELS.length - 1))]).join('')
}
