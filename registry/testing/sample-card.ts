import type { ModelCard } from '../model-card.ts'

/** The card of a version that can be promoted: of one feature, on a dataset without columns of its own. */
export function sampleCard(change: Partial<ModelCard> = {}): ModelCard {
  return {
    service: { name: 'card-fraud', digest: 'd'.repeat(64) },
    dataset: {
      name: 'handbook',
      digest: 'e'.repeat(64),
      schema: {
        time: { column: 't', unit: 's' },
        amount: { column: 'a', minorUnits: 2 },
        entities: [],
        numeric: [],
        categorical: [],
      },
    },
    holdout: { digest: 'f'.repeat(64), rows: 100 },
    signature: {
      features: ['tx_amount'],
      input: { name: 'x', dtype: 'float32', shape: [-1, 1] },
      outputs: [{ name: 'score', dtype: 'float32', shape: [-1] }],
    },
    threshold: 0.5,
    metrics: {},
    codeVersion: 'test',
    ...change,
  }
}
