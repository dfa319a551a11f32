import { UserError } from '../configs/user-error.ts'
import type { DatasetSchema } from '../datasets/table/dataset.ts'
import { ATTRIBUTES, attributes } from './definition/attributes.ts'
import { cardFraud } from './definition/card-fraud.ts'
import { kaggleCc } from './definition/kaggle-cc.ts'
import { readService } from './definition/service-schema.ts'
import { userAnomaly } from './definition/user-anomaly.ts'
import { withMaxEvents, type FeatureService, type ServiceReference } from './view/view.ts'

/** The services with a fixed definition. That of `attributes` follows from the dataset. */
export const featureServices: FeatureService[] = [cardFraud, kaggleCc, userAnomaly]

/**
 * A service by name. `schema` belongs to the dataset that the service shall read; `attributes` is made from it.
 *
 * @param maxEvents the limit of its views (`withMaxEvents`): that of the configuration, or of the model that reads it.
 * @throws UserError that lists the services when none has this name, and for `attributes` without a schema.
 */
export function featureService(name: string, schema?: DatasetSchema, maxEvents?: number): FeatureService {
  if (name === ATTRIBUTES && schema !== undefined) return attributes(schema)
  const service = featureServices.find((candidate) => candidate.name === name)
  if (service !== undefined) return withMaxEvents(service, maxEvents)
  if (name === ATTRIBUTES) {
    throw new UserError(
      `Service "${ATTRIBUTES}" is a dataset's own columns: it has no definition without one. ` +
        'See: fd datasets describe NAME',
    )
  }
  const names = [...featureServices.map((candidate) => candidate.name), ATTRIBUTES]
  throw new UserError(`No feature service "${name}". There are: ${names.join(', ')}. See: fd features list`)
}

/**
 * The service that a model's card or a job means: the definition that it carries, else fd's own of that name. Whoever
 * asks compares the digests, since fd's own may have another definition in this version.
 *
 * @param source whose reference it is, in words.
 * @throws UserError when the definition is not valid, or none is carried and fd has no service of that name.
 */
export function referencedService(
  { name, maxEvents, definition }: ServiceReference,
  schema: DatasetSchema,
  source: string,
): FeatureService {
  return definition === undefined ? featureService(name, schema, maxEvents) : readService(definition, source)
}
