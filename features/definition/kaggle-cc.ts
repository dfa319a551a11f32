import { amount, each, numeric, request, service } from './builders.ts'

const components = Array.from({ length: 28 }, (_, i) => `V${i + 1}`)

/**
 * The published columns as they are, without `Time` and `Class`. `Time` counts seconds since the first row, which tell
 * nothing about the next day; `Class` is the label.
 */
export const kaggleCc = service('kaggle-cc', "The Kaggle card fraud set's principal components V1 to V28 and Amount.", [
  request({ ...each(components, (column) => ({ [column]: numeric(column) })), Amount: amount() }, 'components'),
])
