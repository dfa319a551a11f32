/**
 * Times ten derived features of some thirty parts each by row, in batches of a scorer's and of a backfill's size, and
 * the same expressions in the evaluator of cel-js. Prints JSON.
 */
import { cpus } from 'node:os'
import { Environment } from '@marcbachmann/cel-js'
import { randomStream } from '../../datasets/random/random.ts'
import { compile } from './expression.ts'
import { FeatureScope } from './feature-scope.ts'

const NAMES = ['amount', 'n_1h', 'n_24h', 'n_7d', 'mean_7d', 'mean_28d', 'risk', 'since', 'km', 'hour']
const RUNS = 5
const ROWS = 200_000

// Numbers have points, so that cel-js reads the same.
const EXPRESSIONS = [
  'amount / max(mean_7d, 1.0)',
  'amount / max(mean_28d, 1.0) - amount / max(mean_7d, 1.0)',
  'n_1h / max(n_24h, 1.0) * 24.0',
  'n_24h > 10.0 && amount > 3.0 * mean_7d ? 1.0 : 0.0',
  'log1p(amount) - log1p(mean_28d)',
  '(hour < 6.0 || hour > 22.0) && amount > 100.0 ? amount * risk : 0.0',
  'clamp(km / max(since / 3600.0, 0.1), 0.0, 2000.0)',
  'coalesce(risk, 0.01) * log1p(amount)',
  'abs(amount - mean_7d) / max(abs(mean_28d - mean_7d), 0.5)',
  'min(n_1h, 5.0) + min(n_24h, 20.0) / 4.0 + min(n_7d, 100.0) / 20.0',
]

function matrix(rows: number): Float64Array {
  const random = randomStream(1)
  return Float64Array.from({ length: rows * NAMES.length }, (_, i) =>
    i % NAMES.length === 6 && random.integer(10) === 0 ? Number.NaN : random.uniform() * 100,
  )
}

/** Nanoseconds a row, the least of some runs. */
function fastest(rows: number, run: () => void): number {
  const times = Array.from({ length: RUNS }, () => {
    const started = performance.now()
    run()
    return ((performance.now() - started) * 1e6) / rows
  })
  return Math.round(Math.min(...times))
}

function ours(batch: number): number {
  const features = NAMES.map((name) => ({ name, isCategory: false }))
  const scopes = EXPRESSIONS.map(() => new FeatureScope(features, NAMES.length))
  const expressions = EXPRESSIONS.map((expression, e) => compile(expression, scopes[e], 'the benchmark'))
  const values = matrix(batch)
  for (const scope of scopes) scope.values = values
  return fastest(ROWS, () => {
    for (let done = 0; done < ROWS; done += batch) for (const each of expressions) each.values(batch)
  })
}

function celJs(): number {
  const environment = new Environment()
  for (const name of NAMES) environment.registerVariable(name, 'double')
  environment
    .registerFunction('log1p(double): double', Math.log1p)
    .registerFunction('abs(double): double', Math.abs)
    .registerFunction('max(double, double): double', Math.max)
    .registerFunction('min(double, double): double', Math.min)
    .registerFunction('clamp(double, double, double): double', (x: number, low: number, high: number) =>
      Math.min(Math.max(x, low), high),
    )
    .registerFunction('coalesce(double, double): double', (x: number, y: number) => (Number.isNaN(x) ? y : x))
  const evaluators = EXPRESSIONS.map((expression) => environment.parse(expression))
  const rows = 20_000
  const values = matrix(rows)
  const contexts = Array.from({ length: rows }, (_, row) =>
    Object.fromEntries(NAMES.map((name, n) => [name, values[row * NAMES.length + n]])),
  )
  return fastest(rows, () => {
    for (const context of contexts) for (const evaluate of evaluators) evaluate(context)
  })
}

process.stdout.write(
  `${JSON.stringify(
    {
      machine: cpus()[0]?.model,
      expressions: EXPRESSIONS.length,
      nsOfARow: { batchOf1: ours(1), batchOf16: ours(16), batchOf2048: ours(2048), celJs: celJs() },
    },
    null,
    2,
  )}\n`,
)
