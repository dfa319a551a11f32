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

/** A ratio the project promised: ours over the peer's, at most. */
export interface Aim {
  what: string
  aim: string
  measured: number
  met: boolean
}

const ratio = (ours: number[], theirs: number[]): number => median(ours) / median(theirs)

/** The ratios of medians, within the same interleaved runs, that the project has aims for. */
export function aimsOf(timings: Timing[], advantages: Advantage[]): Aim[] {
  const aims: Aim[] = []
  const atMost = (what: string, measured: number, limit: number): void =>
    void aims.push({ what, aim: `≤ ${limit}`, measured, met: measured <= limit })
  const atLeast = (what: string, measured: number, limit: number): void =>
    void aims.push({ what, aim: `≥ ${limit}`, measured, met: measured >= limit })
  for (const { own, peer } of pairs(timings)) {
    const where = `${own.set}, ${own.threads} thread${own.threads > 1 ? 's' : ''}`
    const of = (timing: Timing, field: keyof Measured): number[] => timing.runs.map((run) => run[field])
    const fit = ratio(of(own, 'fitSeconds'), of(peer, 'fitSeconds'))
    const whole = (timing: Timing): number[] => timing.runs.map((run) => run.fitSeconds + run.scoreSeconds)
    if (peer.contestant === 'xgboost') {
      atMost(`boosting fit / xgboost (${where})`, fit, 0.7)
      atMost(
        `boosting, memory that fitting adds / xgboost (${where})`,
        ratio(of(own, 'addedMb'), of(peer, 'addedMb')),
        0.6,
      )
      atMost(`boosting, peak of the process / xgboost (${where})`, ratio(of(own, 'peakMb'), of(peer, 'peakMb')), 0.6)
    }
    if (peer.contestant === 'lightgbm') atMost(`boosting fit / LightGBM (${where})`, fit, 1)
    if (own.task === 'forest') atLeast(`forest, times as fast as scikit-learn (${where})`, 1 / fit, 40)
    if (own.task === 'isolation')
      atLeast(
        `isolation fit and score, times as fast as scikit-learn (${where})`,
        1 / ratio(whole(own), whole(peer)),
        8,
      )
  }
  for (const [set, own] of Map.groupBy(
    timings.filter(({ contestant, task }) => contestant === 'fd' && task === 'boosting'),
    (one) => one.set,
  )) {
    const [one, two] = [1, 2].map((threads) =>
      own.find((timing) => timing.threads === threads)?.runs.map(({ fitSeconds }) => fitSeconds),
    )
    if (one !== undefined && two !== undefined) atMost(`boosting fit, two threads / one (${set})`, ratio(two, one), 1)
  }
  for (const { set, difference } of advantages) atLeast(`average precision, ours − best peer's (${set})`, difference, 0)
  return aims
}

function pairs(timings: Timing[]): { own: Timing; peer: Timing }[] {
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
const spread = (values: number[], digits = 2): string =>
  `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`

const signed = (value: number): string => (value < 0 ? '−' : '+') + Math.abs(value).toFixed(4)

function timingCells({ set, task, threads, contestant, runs }: Timing): string[] {
  const of = (field: keyof Measured): number[] => runs.map((run) => run[field])
  const seconds = [spread(of('fitSeconds')), median(of('fitCpuSeconds')).toFixed(2), spread(of('scoreSeconds'))]
  const megabytes = [median(of('peakMb')).toFixed(0), median(of('addedMb')).toFixed(0)]
  return [set, task, String(threads), contestant, ...seconds, ...megabytes, median(of('averagePrecision')).toFixed(4)]
}

/** What a reader of the tables must know. */
const HOW = {
  times: [
    'Times are medians of interleaved runs, each in a process of its own on pinned processors (least and most in brackets);',
    'on a shared machine read the ratios, not the seconds.',
  ].join(' '),
  tasks: [
    'Boosting: 100 rounds of depth 6 at rate 0.1, about 255 bins, all rows and features.',
    'Forest: 100 trees (20 on more than a million rows) of depth 12 on a third of the features at each split.',
    'Isolation: 100 trees of 256 rows, fitted on all rows and scoring them.',
    'Memory is the peak of the process, and what fitting and scoring added to the data already read.',
  ].join(' '),
  search: [
    'Every contestant is given the same random draws of parameters; the best on the latest fifth of the training rows is fitted',
    'again on all of them, with several seeds, and judged on the test rows (median, least and most).',
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
  const shape = (set: ContestSet, part: string): string =>
    `${count(set.parts[part].rows)} / ${count(set.parts[part].frauds)}`
  const shapes = sets.map((set) => [set.name, String(set.features), shape(set, 'train'), shape(set, 'test')])
  const precisions = found.map(({ set, task, contestant, validation, test }) => [
    set,
    task,
    contestant,
    validation.toFixed(4),
    spread(test, 4),
  ])
  const sure = advantages.map(({ set, ours, peer, difference, low, high }) => [
    set,
    ours.task,
    `${peer.contestant} ${peer.task}`,
    signed(difference),
    `${signed(low)} … ${signed(high)}`,
  ])
  const aims = aimsOf(timings, advantages).map(({ what, aim, measured, met }) => [
    what,
    aim,
    measured.toFixed(3),
    met ? 'yes' : 'no',
  ])
  return [
    '# Trees beside their peers',
    `Written by \`${about.command}\`. ${HOW.times}`,
    `- machine: ${about.machine}\n- versions: ${about.versions.join(', ')}`,
    '## Aims',
    table(['what', 'aim', 'measured', 'met'], aims),
    '## Data',
    table(['set', 'features', 'train rows / frauds', 'test rows / frauds'], shapes),
    '## Time and memory',
    HOW.tasks,
    table(
      ['set', 'task', 'threads', 'contestant', 'fit s', 'CPU s', 'score s', 'peak MB', 'added MB', 'average precision'],
      timings.map(timingCells),
    ),
    '## Average precision with the same search',
    HOW.search,
    table(['set', 'task', 'contestant', 'validation', 'test'], precisions),
    HOW.sure,
    table(['set', 'our best', 'best peer', 'difference', '95 %'], sure),
  ].join('\n\n')
}
