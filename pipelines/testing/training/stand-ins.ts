import type { Dataset } from '../../../datasets/table/dataset.ts'
import { cardFraud } from '../../../features/definition/card-fraud.ts'
import type { Candidate } from '../../../training/candidate.ts'
import type { Output } from '../../console/output.ts'
import type { TrainCandidate } from '../../jobs/kinds.ts'

/** The code of all processes. */
export const code = { version: 'fd test', digest: 'c' }
export const dataset = {
  name: 'd',
  file: 'd.csv',
  digest: async () => 'd',
  schema: {
    time: { column: 't', unit: 's' },
    amount: { column: 'a', minorUnits: 2 },
    entities: [],
    numeric: [],
    categorical: [],
  },
} as unknown as Dataset
/** What all commands train on. */
export const subject = {
  experiment: 'simulated',
  dataset,
  service: cardFraud,
  split: { kind: 'ordered', trainShare: 0.8 } as const,
  calibration: undefined,
  until: undefined,
  sort: false,
  code,
  by: 'test',
}

/** What every training of a plan comes to, whoever does it and however often. Some plans are as good as others. */
export function valueOf(seed: number, purpose: TrainCandidate['purpose']): number {
  return ((seed * 5) % 7) / 7 + (purpose === 'use' ? 0.01 : 0)
}

/** The metric that has this value. */
export function metricOf(purpose: TrainCandidate['purpose']): string {
  return purpose === 'use' ? 'average_precision' : 'selection_average_precision'
}

/** What a training comes to. */
export function candidateOf(metrics: Record<string, number>): Candidate {
  const period = { from: 0, to: 1 }
  return {
    onnx: Buffer.from('graph'),
    signature: {
      features: ['f'],
      input: { name: 'x', dtype: 'float32', shape: [-1, 1] },
      outputs: [{ name: 'score', dtype: 'float32', shape: [-1] }],
    },
    params: {},
    metrics,
    threshold: 0.5,
    alertsPerDay: 1,
    dictionaries: {},
    training: period,
    holdout: { rows: new Int32Array(1), scores: new Float32Array(1), period, days: 1, digest: 'h' },
    telling: [],
  }
}

/** Shows nothing. */
export const silent: Output = {
  json: false,
  result: () => {},
  refuse: (_document, _text, error) => {
    throw error
  },
  note: () => {},
  say: () => {},
  progress: () => ({ update: () => {}, end: () => {} }),
}
