import { pairsOf, realOf } from '../mlflow/json.ts'
import type { Metric, RunStatus } from '../model.ts'
import { RUN_NAME } from '../naming.ts'

/** A run as the server keeps it. */
export interface StoredRun {
  id: string
  experiment: string
  status: RunStatus
  start: number
  end: number
  deleted: boolean
  params: Map<string, string>
  tags: Map<string, string>
  metrics: Map<string, Metric[]>
}

/** The place of a run's artifacts below the root of the server. */
export function rootOf({ id, experiment }: StoredRun): string {
  return `${experiment}/${id}/artifacts`
}

/** Equal metrics count once. */
export function logMetric(run: StoredRun, { key, value, timestamp, step }: Metric): void {
  const logged = run.metrics.get(key) ?? []
  run.metrics.set(key, logged)
  const same = (other: Metric): boolean =>
    other.step === step && other.timestamp === timestamp && Object.is(other.value, value)
  if (!logged.some(same)) logged.push({ key, value, timestamp, step })
}

export function wireRun(run: StoredRun): object {
  const info = {
    run_id: run.id,
    run_name: run.tags.get(RUN_NAME),
    experiment_id: run.experiment,
    status: run.status,
    start_time: run.start,
    end_time: run.end,
    artifact_uri: `mlflow-artifacts:/${rootOf(run)}`,
  }
  const metrics = [...run.metrics.values()].map((logged) => wireMetric(latest(logged)))
  return { info, data: { params: wirePairs(run.params), tags: wirePairs(run.tags), metrics } }
}

export function wireMetric(metric: Metric): object {
  return { ...metric, value: realOf(metric.value) }
}

/** The highest (step, timestamp, value); NaN is lower than any number. */
function latest(logged: readonly Metric[]): Metric {
  const rank = ({ value }: Metric): number => (Number.isNaN(value) ? -Infinity : value)
  const higher = (a: Metric, b: Metric): number =>
    a.step - b.step || a.timestamp - b.timestamp || (rank(a) === rank(b) ? 0 : rank(a) - rank(b))
  return logged.reduce((best, each) => (higher(each, best) > 0 ? each : best))
}

export function wirePairs(map: Map<string, string>): object[] {
  return pairsOf(Object.fromEntries(map))
}

/** A condition of MLflow's grammar, as `registry/mlflow` writes it. */
const CONDITION = /(?:attributes\.(status)|(tags|params)\.`([^`]+)`) = (?:'([^']*)'|"([^"]*)")/g

/** Whether a run meets every condition of a filter. */
export function wantedBy(filter: string): (run: StoredRun) => boolean {
  const conditions = [...filter.matchAll(CONDITION)].map(([, status, kind, key, single, double]) => {
    const value = single ?? double
    if (status !== undefined) return (run: StoredRun) => run.status === value
    return (run: StoredRun) => (kind === 'tags' ? run.tags : run.params).get(key) === value
  })
  return (run) => conditions.every((holds) => holds(run))
}

/** Numbers, then NaN, then runs without the metric; among equals the latest start, then the lower id. */
export function ordered(runs: readonly StoredRun[], [by]: readonly string[] = []): StoredRun[] {
  const [, metric, direction] = /^metrics\.`([^`]+)` (ASC|DESC)$/.exec(by ?? '') ?? []
  const sign = direction === 'DESC' ? -1 : 1
  const value = (run: StoredRun): number | undefined => {
    const logged = metric === undefined ? undefined : run.metrics.get(metric)
    return logged === undefined ? undefined : latest(logged).value
  }
  const rank = (run: StoredRun): number => {
    const own = value(run)
    if (own === undefined) return 2
    return Number.isNaN(own) ? 1 : 0
  }
  return runs.toSorted(
    (a, b) =>
      rank(a) - rank(b) ||
      (rank(a) === 0 ? sign * ((value(a) ?? 0) - (value(b) ?? 0)) : 0) ||
      b.start - a.start ||
      (a.id < b.id ? -1 : 1),
  )
}
