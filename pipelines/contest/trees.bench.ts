/**
 * Our trees beside xgboost, LightGBM and scikit-learn, with the same data, bins, depth, rounds and threads. The peers
 * are installed from PyPI into a virtual environment. Writes pipelines/contest/trees.md and prints JSON. `--quick` runs
 * a small set once and writes nothing.
 */
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { loadConfig, withHome } from '../../configs/config.ts'
import { installPython } from '../services/python-environment.ts'
import { advantageOf } from './advantage.ts'
import { CONTESTANTS, type ContestParams, type Job, readLabels, type Task } from './contest.ts'
import { accuracySets, type ContestSet, sharedSet, speedSets } from './data.ts'
import { aimsOf, reportOf, type Timing } from './report.ts'
import { PEERS, peersFolder, runJob } from './run.ts'
import { type Found, PLAIN, search } from './search.ts'

const quick = process.argv.includes('--quick')
const runs = quick ? 1 : 5
const budget = quick ? { draws: 1, seeds: 1 } : { draws: 8, seeds: 3 }
const THREADS = [1, 2].filter((threads) => threads <= cpus().length)
const SPEED_PARAMS: Record<Task, ContestParams> = {
  boosting: PLAIN,
  forest: { ...PLAIN, depth: 12, colsample: 1 / 3 },
  isolation: PLAIN,
}

const note = (line: string): void => void process.stderr.write(`${line}\n`)
const folder = await mkdtemp(join(tmpdir(), 'fd-trees-'))
const config = withHome(loadConfig(), folder)
const python = peersFolder(config.cache)
try {
  await installPython(python, PEERS, { exact: true })
  const handbook = quick ? undefined : await sharedSet(config, 'handbook', 'handbook-raw.parquet')
  const kaggle = await sharedSet(config, 'kaggle-cc', 'kaggle-cc-real.csv')
  const timed = [...speedSets(folder, quick, handbook?.set)]
  const judged = [...accuracySets(folder, kaggle?.set, handbook)]
  const timings = timed.flatMap(measure)
  const found = judged.flatMap(judge)
  const advantages = judged.map(({ name, folder }) => {
    const ofSet = found.filter(({ set }) => set === name)
    return advantageOf(ofSet, readLabels(folder, 'test'))
  })
  const machine = `${cpus().length} × ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release()}`
  const versions = [`Node ${process.version}`, ...PEERS.slice(0, 4).map((peer) => peer.replace('==', ' '))]
  const sets = [...timed, ...judged]
  const report = reportOf({ machine, versions, command: 'npm run bench trees' }, sets, timings, found, advantages)
  if (quick) note(report)
  else writeFileSync(join(import.meta.dirname, 'trees.md'), `${report}\n`)
  const shapes = sets.map(({ name, features, parts }) => ({ name, features, parts }))
  const document = {
    bench: 'trees',
    quick,
    machine,
    versions,
    aims: aimsOf(timings, advantages),
    sets: shapes,
    timings,
    found: found.map(withoutScores),
    advantages: advantages.map(({ ours, peer, ...rest }) => ({
      ours: withoutScores(ours),
      peer: withoutScores(peer),
      ...rest,
    })),
  }
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}

/**
 * Contestants take turns, so that a slow minute of the machine falls on all of them. Only scikit-learn's forest, which
 * takes minutes, runs once.
 */
function measure(set: ContestSet): Timing[] {
  return (Object.keys(CONTESTANTS) as Task[]).flatMap((task) =>
    THREADS.flatMap((threads) => {
      const timings = CONTESTANTS[task].map((contestant): Timing => ({
        set: set.name,
        task,
        threads,
        contestant,
        runs: [],
      }))
      for (let run = 0; run < runs; run++) {
        for (const { contestant, runs: own } of timings) {
          if (task === 'forest' && contestant !== 'fd' && run > 0) continue
          note(`${set.name}: ${task}, ${contestant}, ${threads} threads, run ${run + 1} of ${runs}`)
          own.push(withoutScores(runJob(speedJob(set, task, contestant, threads), python)))
        }
      }
      return timings
    }),
  )
}

function speedJob(set: ContestSet, task: Task, contestant: string, threads: number): Omit<Job, 'scores'> {
  const { folder, features } = set
  return { task, contestant, folder, features, ...partsOf(task), params: speedParams(task, set), threads }
}

/**
 * On the Handbook's rows a hundred of scikit-learn's forest trees take half an hour. A forest's time is in proportion
 * to its trees, so fewer of them tell as much.
 */
function speedParams(task: Task, set: ContestSet): ContestParams {
  return task === 'forest' && set.parts.all.rows > 1e6 ? { ...SPEED_PARAMS.forest, trees: 20 } : SPEED_PARAMS[task]
}

/** Scores of a million rows have no place in a report. */
function withoutScores<T extends { scores: Float32Array }>(result: T): Omit<T, 'scores'> {
  return Object.fromEntries(Object.entries(result).filter(([name]) => name !== 'scores')) as Omit<T, 'scores'>
}

/** An isolation forest scores the very rows it was fitted on. */
function partsOf(task: Task): { fit: string; score: string } {
  return task === 'isolation' ? { fit: 'all', score: 'all' } : { fit: 'train', score: 'test' }
}

function judge(set: ContestSet): Found[] {
  const found: Found[] = []
  for (const one of search(set, python, budget)) {
    note(`${set.name}: ${one.task}, ${one.contestant}: ${one.test.map((value) => value.toFixed(4)).join(' ')}`)
    found.push(one)
  }
  return found
}
