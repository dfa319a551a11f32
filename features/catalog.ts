import { UserError } from '../configs/user-error.ts'
import type { DatasetSchema } from '../datasets/table/dataset.ts'
import { ATTRIBUTES, attributes } from './view/attributes.ts'
import { cardFraud } from './view/card-fraud.ts'
import { kaggleCc } from './view/kaggle-cc.ts'
import { userAnomaly } from './view/user-anomaly.ts'
import type { FeatureService } from './view/view.ts'

/** The services whose definition is fixed; `attributes` follows the dataset. */
export const featureServices: FeatureService[] = [cardFraud, kaggleCc, userAnomaly]

/**
 * A service by name. `schema` is of the dataset it shall read: `attributes` is made from it.
 *
 * @throws UserError that lists the services when none has this name.
 */
export function featureService(name: string, schema?: DatasetSchema): FeatureService {
  if (name === ATTRIBUTES && schema !== undefined) return attributes(schema)
  const service = featureServices.find((candidate) => candidate.name === name)
  if (service !== undefined) return service
  if (name === ATTRIBUTES)
    throw new UserError(
      `Service "${ATTRIBUTES}" is a dataset's own columns: it has no definition without one. See: fd datasets describe NAME`,
    )
  throw new UserError(
    `No feature service "${name}". There are: ${[...featureServices.map((candidate) => candidate.name), ATTRIBUTES].join(', ')}. See: fd features list`,
  )
}
