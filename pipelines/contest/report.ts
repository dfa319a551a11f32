import { median } from '../bench/world.ts'
import { count } from '../console/output.ts'
import type { Advantage } from './advantage.ts'
import type { Task } from './contest.ts'
import type { ContestSet } from './data.ts'
import type { Result } from './run.ts'
import type { Found } from './search.ts'

/** Interleaved runs of one contestant at one task on one set. */
export interface Timing {
  set: string
  task: Task
  threads: number
  contestant: string
  runs: Measured[]
}

/** What is kept of a run. */
export type Measured = Omit<Result, 'scores'>

/** A limit that the project promised to keep for a measured number, mostly a ratio of ours to a peer's. */
export interface Aim {
  what: string
  aim: string
  measured: number
  met: boolean
}

const ratio = (ours: number[], theirs: number[]): number => median(ours) / median(theirs)

const atMost = (what: string, measured: number, limit: number): Aim => ({
  what,
  aim: `≤ ${limit}`,
  measured,
  met: measured <= limit,
})

const atLeast = (what: string, measured: number, limit: number): Aim => ({
  what,
  aim: `≥ ${limit}`,
  measured,
  met: measured >= limit,
})

/** All numbers that the project has aims for. Ratios are of medians over the same interleaved runs. */
export function aimsOf(timings: Timing[], advantages: Advantage[]): Aim[] {
  return [
    ...pairs(timings).flatMap(peerAims),
    ...threadAims(timings),
    ...advantages.map(({ set, difference }) =>
      atLeast(`average precision, ours − best peer's (${set})`, difference, 0),
    ),
  ]
}

/** Our timing beside a peer's in the same race. */
interface Pair {
  own: Timing
  peer: Timing
}

function peerAims({ own, peer }: Pair): Aim[] {
  const where = `${own.set}, ${own.threads} thread${own.threads > 1 ? 's' : ''}`
  const between = (measure: (run: Measured) => number): number => ratio(own.runs.map(measure), peer.runs.map(measure))
  const fit = between((run) => run.fitSeconds)
  const aims: Aim[] = []
  if (peer.contestant === 'xgboost') {
    const [added, peak] = [between((run) => run.addedMb), between((run) => run.peakMb)]
    aims.push(
      atMost(`boosting fit / xgboost (${where})`, fit, 0.7),
      atMost(`boosting, memory that fitting adds / xgboost (${where})`, added, 0.6),
      atMost(`boosting, peak of the process / xgboost (${where})`, peak, 0.6),
    )
  }
  if (peer.contestant === 'lightgbm') aims.push(atMost(`boosting fit / LightGBM (${where})`, fit, 1))
  if (own.task === 'forest') aims.push(atLeast(`forest, times as fast as scikit-learn (${where})`, 1 / fit, 40))
  if (own.task === 'isolation') {
    const whole = between((run) => run.fitSeconds + run.scoreSeconds)
    aims.push(atLeast(`isolation fit and score, times as fast as scikit-learn (${where})`, 1 / whole, 8))
  }
  return aims
}

/** Two threads must be no slower than one. */
function threadAims(timings: Timing[]): Aim[] {
  const boosting = timings.filter(({ contestant, task }) => contestant === 'fd' && task === 'boosting')
  return [...Map.groupBy(boosting, ({ set }) => set)].flatMap(([set, own]) => {
    const [one, two] = [1, 2].map((threads) =>
      own.find((timing) => timing.threads === threads)?.runs.map(({ fitSeconds }) => fitSeconds),
    )
    if (one === undefined || two === undefined) return []
    return [atMost(`boosting fit, two threads / one (${set})`, ratio(two, one), 1)]
  })
}

function pairs(timings: Timing[]): Pair[] {
  return timings
    .filter(({ contestant }) => contestant !== 'fd')
    .flatMap((peer) =>
      timings.filter((own) => own.contestant === 'fd' && sameRace(own, peer)).map((own) => ({ own, peer })),
    )
}

function sameRace(one: Timing, other: Timing): boolean {
  return one.task === other.task && one.set === other.set && one.threads === other.threads
}

const table = (head: string[], rows: string[][]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

/** Median, least and most. */
const spread = (values: number[], digits = 2): string =>
  `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`

const signed = (value: number): string => (value < 0 ? '−' : '+') + Math.abs(value).toFixed(4)

/** What a reader must know to read the tables. */
const HOW = {
  times: [
    'Times are medians of interleaved runs, each in a process of its own on pinned processors',
    '(least and most in brackets); on a shared machine read the ratios, not the seconds.',
  ].join(' '),
  tasks: [
    'Boosting: 100 rounds of depth 6 at rate 0.1, about 255 bins, all rows and features.',
    'Forest: 100 trees (20 on more than a million rows) of depth 12 on a third of the features at each split.',
    'Isolation: 100 trees of 256 rows, fitted on all rows and scoring them.',
    'Memory is the peak of the process, and what fitting and scoring added to the data already read.',
  ].join(' '),
  search: [
    'Every contestant is given the same random draws of parameters; the best on the latest fifth of the training rows',
    'is fitted again on all of them, with several seeds, and judged on the test rows (median, least and most).',
  ].join(' '),
  sure: [
    'Between the last two numbers lies the difference (first seed) in 95 % of 500 resamples of the test rows:',
    'where 0 lies between them too, the test rows do not tell who is better.',
  ].join(' '),
}

/** The report as Markdown. */
export function reportOf(
  about: { machine: string; versions: string[]; command: string },
  sets: ContestSet[],
  timings: Timing[],
  found: Found[],
  advantages: Advantage[],
): string {
  return [
    '# Trees beside their peers',
    `Written by \`${about.command}\`. ${HOW.times}`,
    `- machine: ${about.machine}\n- versions: ${about.versions.join(', ')}`,
    '## Aims',
    aimTable(aimsOf(timings, advantages)),
    '## Data',
    setTable(sets),
    '## Time and memory',
    HOW.tasks,
    timingTable(timings),
    '## Average precision with the same search',
    HOW.search,
    foundTable(found),
    HOW.sure,
    advantageTable(advantages),
  ].join('\n\n')
}

function aimTable(aims: Aim[]): string {
  return table(
    ['what', 'aim', 'measured', 'met'],
    aims.map(({ what, aim, measured, met }) => [what, aim, measured.toFixed(3), met ? 'yes' : 'no']),
  )
}

function setTable(sets: ContestSet[]): string {
  const shape = ({ parts }: ContestSet, part: string): string =>
    `${count(parts[part].rows)} / ${count(parts[part].frauds)}`
  return table(
    ['set', 'features', 'train rows / frauds', 'test rows / frauds'],
    sets.map((set) => [set.name, String(set.features), shape(set, 'train'), shape(set, 'test')]),
  )
}

function timingTable(timings: Timing[]): string {
  const cost = ['fit s', 'CPU s', 'score s', 'peak MB', 'added MB']
  return table(['set', 'task', 'threads', 'contestant', ...cost, 'average precision'], timings.map(timingCells))
}

function timingCells({ set, task, threads, contestant, runs }: Timing): string[] {
  const of = (field: keyof Measured): number[] => runs.map((run) => run[field])
  const seconds = [spread(of('fitSeconds')), median(of('fitCpuSeconds')).toFixed(2), spread(of('scoreSeconds'))]
  const megabytes = [median(of('peakMb')).toFixed(0), median(of('addedMb')).toFixed(0)]
  return [set, task, String(threads), contestant, ...seconds, ...megabytes, median(of('averagePrecision')).toFixed(4)]
}

function foundTable(found: Found[]): string {
  return table(
    ['set', 'task', 'contestant', 'validation', 'test'],
    found.map(({ set, task, contestant, validation, test }) => {
      return [set, task, contestant, validation.toFixed(4), spread(test, 4)]
    }),
  )
}

function advantageTable(advantages: Advantage[]): string {
  return table(
    ['set', 'our best', 'best peer', 'difference', '95 %'],
    advantages.map(({ set, ours, peer, difference, low, high }) => {
      const interval = `${signed(low)} … ${signed(high)}`
      return [set, ours.task, `${peer.contestant} ${peer.task}`, signed(difference), interval]
    }),
  )
}
