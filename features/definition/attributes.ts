import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { FeatureService, RequestFeature } from '../view/view.ts'

export const ATTRIBUTES = 'attributes'

/**
 * A dataset's own columns as features: the amount and every numeric and categorical attribute, under their own names.
 * This is the service of a table that needs no history. Its definition follows from the schema, which a model's card
 * carries.
 */
export function attributes(schema: DatasetSchema): FeatureService {
  const features: RequestFeature[] = [
    { name: schema.amount.column, from: 'amount' },
    ...schema.numeric.map((column): RequestFeature => ({ name: column, from: 'numeric', column })),
    ...schema.categorical.map((column): RequestFeature => ({ name: column, from: 'categorical', column })),
  ]
  return {
    name: ATTRIBUTES,
    description: "The dataset's own amount, numeric and categorical columns.",
    views: [{ kind: 'request', name: ATTRIBUTES, features }],
  }
}
