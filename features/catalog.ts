import type { Config } from '../configs/config.ts'
import { UserError } from '../configs/user-error.ts'
import type { DatasetSchema } from '../datasets/table/dataset.ts'
import { ATTRIBUTES, attributes } from './definition/attributes.ts'
import { cardFraud } from './definition/card-fraud.ts'
import { kaggleCc } from './definition/kaggle-cc.ts'
import { serviceFiles, type ServiceFile } from './definition/project-services.ts'
import { readService } from './definition/service-schema.ts'
import { userAnomaly } from './definition/user-anomaly.ts'
import { withMaxEvents, type FeatureService, type ServiceReference } from './view/view.ts'

/** The services that come with fd, with a fixed definition. That of `attributes` follows from the dataset. */
export const featureServices: FeatureService[] = [cardFraud, kaggleCc, userAnomaly]

/** What of a configuration says which services there are, and the limit of their views (`withMaxEvents`). */
export type ServiceConfig = Pick<Config, 'featureFolder' | 'features'>

/** The files of the project's own services; none without a project. */
export function projectServices({ featureFolder }: Pick<Config, 'featureFolder'>): ServiceFile[] {
  return serviceFiles(featureFolder, [...featureServices.map(({ name }) => name), ATTRIBUTES])
}

/** All services with a definition of their own: those of fd, then the project's that can be loaded. */
export function allServices(config: Pick<Config, 'featureFolder'>): FeatureService[] {
  const own = projectServices(config).flatMap((each) => ('service' in each ? [each.service] : []))
  return [...featureServices, ...own]
}

/**
 * A service by name: one that comes with fd, or one of the project. `schema` belongs to the dataset that the service
 * shall read; `attributes` is made from it.
 *
 * @throws UserError that lists the services when none has this name, for a file of the project that does not load where
 * the service may be in it, and for `attributes` without a schema.
 */
export function featureService(name: string, schema?: DatasetSchema, config?: ServiceConfig): FeatureService {
  if (name === ATTRIBUTES && schema !== undefined) return attributes(schema)
  const limit = config?.features.maxEvents
  const builtIn = featureServices.find((candidate) => candidate.name === name)
  if (builtIn !== undefined) return withMaxEvents(builtIn, limit)
  if (name === ATTRIBUTES) {
    throw new UserError(
      `Service "${ATTRIBUTES}" is a dataset's own columns: it has no definition without one. ` +
        'See: fd datasets describe NAME',
    )
  }
  const files = config === undefined ? [] : projectServices(config)
  const own = files.flatMap((each) => ('service' in each ? [each.service] : []))
  const found = own.find((candidate) => candidate.name === name)
  if (found !== undefined) return withMaxEvents(found, limit)
  for (const each of files) if ('fault' in each) throw each.fault
  const names = [...[...featureServices, ...own].map((candidate) => candidate.name), ATTRIBUTES]
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
  if (definition !== undefined) return readService(definition, source)
  return withMaxEvents(featureService(name, schema), maxEvents)
}
