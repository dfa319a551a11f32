import { UserError } from '../configs/user-error.ts'
import { cardFraud } from './card-fraud.ts'
import { kaggleCc } from './kaggle-cc.ts'
import { userAnomaly } from './user-anomaly.ts'
import type { FeatureService } from './view.ts'

export const featureServices: FeatureService[] = [cardFraud, kaggleCc, userAnomaly]

/** @throws UserError that lists the services when none has this name. */
export function featureService(name: string): FeatureService {
  const service = featureServices.find((candidate) => candidate.name === name)
  if (service) return service
  throw new UserError(`No feature service "${name}". There are: ${featureServices.map((candidate) => candidate.name).join(', ')}. See: fd features list`)
}
