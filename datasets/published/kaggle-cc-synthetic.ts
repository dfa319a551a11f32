import { join } from 'node:path'
import type { Config } from '../../configs/config.ts'
import type { Random } from '../random/random.ts'
import { randomStream } from '../random/random.ts'
import type { Dataset } from '../table/dataset.ts'
import { fileDataset, locateFile } from '../table/file-dataset.ts'
import { COMPONENTS, KAGGLE_CC_ROWS, KAGGLE_CC_SCHEMA } from './kaggle-cc.ts'

/**
 * Standard deviations of V1 … V28 among genuine transactions. Principal components come in order of their variance.
 */
const GENUINE_SPREAD = [
  1.89, 1.64, 1.43, 1.4, 1.35, 1.32, 1.17, 1.18, 1.09, 1.04, 1.01, 0.97, 1.01, 0.89, 0.92, 0.84, 0.75, 0.82, 0.81, 0.77,
  0.73, 0.71, 0.57, 0.61, 0.5, 0.49, 0.39, 0.31,
]
/** Mean of V1 … V28 among frauds: far out in V14, V17, V3, V12, V10, V7, V4, V11 … */
const FRAUD_SHIFT = [
  -4.5, 3.41, -6.73, 4.47, -2.96, -1.43, -5.18, 0.95, -2.52, -5.45, 3.72, -6.1, -0.09, -6.84, -0.07, -4, -6.46, -2.16,
  0.67, 0.41, 0.47, 0.09, -0.1, -0.11, 0.04, 0.05, 0.21, 0.08,
]

/** Share of frauds that nothing betrays. It keeps a model from being perfect, as the next share does. */
const HIDDEN_FRAUDS = 0.12
/** Share of genuine transactions that look like frauds. */
const LOOK_ALIKES = 0.0005

const SECONDS_A_DAY = 86_400
const LAST_SECOND = 172_792
const LARGEST = { genuine: 25_691.16, fraud: 2125.87 }
const SEED = 492
const BATCH_ROWS = 16_384

const COLUMNS = ['Time', ...COMPONENTS, 'Amount'].map((name) => ({ name, type: 'DOUBLE' as const }))

/**
 * A stand-in for `kaggle-cc` with its columns, size and number of frauds, for benchmarks and for machines that cannot
 * reach Kaggle. The first reading makes the file, always the same one. It is not Kaggle's data: figures measured on it
 * say nothing about real cards.
 */
export function kaggleCcSynthetic(config: Config, data?: string): Dataset {
  const usual = join(config.home, 'datasets', 'kaggle-cc-synthetic.parquet')
  return fileDataset(
    {
      name: 'kaggle-cc-synthetic',
      description: 'made here in the form of kaggle-cc: same columns, rows and frauds; no real cards',
      schema: KAGGLE_CC_SCHEMA,
      service: 'kaggle-cc',
      split: { kind: 'ordered', trainShare: 0.7 },
    },
    locateFile('kaggle-cc-synthetic', config, data) ?? usual,
    { make: () => writeKaggleCcSynthetic(usual), maxAhead: config.scorer.maxAhead },
  )
}

/**
 * Writes the stand-in as Parquet, in order of time.
 *
 * @param rows how many of each class; the default is the original's.
 */
export async function writeKaggleCcSynthetic(file: string, rows = KAGGLE_CC_ROWS, seed = SEED): Promise<void> {
  const { openParquetWriter } = await import('../table/parquet.ts')
  await using writer = await openParquetWriter(file, [...COLUMNS, { name: 'Class', type: 'INTEGER' }])
  const random = randomStream(seed)
  const moments = eventTimes(random, rows)
  for (let from = 0; from < moments.length; from += BATCH_ROWS) {
    const size = Math.min(BATCH_ROWS, moments.length - from)
    const columns = COLUMNS.map(() => new Float64Array(size))
    const label = new Uint8Array(size)
    for (let row = 0; row < size; row++) {
      const { second, fraud } = moments[from + row]
      columns[0][row] = second
      drawComponents(random, fraud, (component, value) => (columns[component + 1][row] = value))
      columns[columns.length - 1][row] = drawAmount(random, fraud)
      label[row] = fraud ? 1 : 0
    }
    writer.append([...columns, label], size)
  }
  await writer.close()
}

interface Moment {
  second: number
  fraud: boolean
}

/** Class and second of every transaction, in order of time. */
function eventTimes(random: Random, rows: typeof KAGGLE_CC_ROWS): Moment[] {
  const moments = Array.from({ length: rows.transactions }, (_, row) => {
    const fraud = row < rows.frauds
    return { second: fraud ? random.integer(LAST_SECOND + 1) : drawSecond(random), fraud }
  })
  return moments.toSorted((a, b) => a.second - b.second)
}

/** The second of a genuine transaction: fewest happen at 4 in the morning. Frauds are as many by night as by day. */
function drawSecond(random: Random): number {
  for (;;) {
    const second = random.integer(LAST_SECOND + 1)
    const activity = 0.55 - 0.45 * Math.cos((2 * Math.PI * (second - 4 * 3600)) / SECONDS_A_DAY)
    if (random.uniform() < activity) return second
  }
}

/**
 * Components are uncorrelated among genuine transactions. In a fraud one severity, common to all, pulls them outwards.
 */
function drawComponents(random: Random, fraud: boolean, write: (component: number, value: number) => void): void {
  const severity = drawSeverity(random, fraud)
  // Heavier tails than a normal: some transactions are unusual in everything.
  const spread = Math.exp(random.normal(-0.06, 0.35)) * (1 + 0.6 * severity)
  for (const [component, deviation] of GENUINE_SPREAD.entries()) {
    write(component, severity * FRAUD_SHIFT[component] + random.normal(0, deviation * spread))
  }
}

function drawSeverity(random: Random, fraud: boolean): number {
  if (fraud) return random.uniform() < HIDDEN_FRAUDS ? 0 : Math.exp(random.normal(-0.1, 0.7))
  return random.uniform() < LOOK_ALIKES ? random.uniform() * 0.7 : 0
}

/** Lognormal, in whole cents: a median of 22 for genuine transactions; for frauds 10, with a wider spread. */
function drawAmount(random: Random, fraud: boolean): number {
  const amount = Math.exp(fraud ? random.normal(2.3, 2.3) : random.normal(3.1, 1.65))
  return Math.round(Math.min(amount, fraud ? LARGEST.fraud : LARGEST.genuine) * 100) / 100
}
