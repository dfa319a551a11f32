import type { FeatureService, RequestFeature } from '../view/view.ts'

const components = Array.from({ length: 28 }, (_, i): RequestFeature => ({
  name: `V${i + 1}`,
  from: 'numeric',
  column: `V${i + 1}`,
}))

/**
 * The published columns as they are, without `Time` and `Class`. `Time` counts seconds since the first row, which tell
 * nothing about the next day; `Class` is the label.
 */
export const kaggleCc: FeatureService = {
  name: 'kaggle-cc',
  description: "The Kaggle card fraud set's principal components V1 to V28 and Amount.",
  views: [{ kind: 'request', name: 'components', features: [...components, { name: 'Amount', from: 'amount' }] }],
}
