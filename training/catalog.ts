import { UserError } from '../configs/user-error.ts'
import { boosting, forest } from './ensembles/estimator.ts'
import { isolation } from './ensembles/isolation.ts'
import { mlRandomForest } from './ensembles/ml-random-forest.ts'
import type { Estimator } from './fit/estimator.ts'
import { autoencoder } from './networks/autoencoder.ts'
import { neural } from './networks/neural.ts'

const ESTIMATORS: Estimator[] = [boosting, forest, isolation, mlRandomForest, neural, autoencoder]

/** Names of all estimators. */
export function estimatorNames(): string[] {
  return ESTIMATORS.map(({ name }) => name)
}

/** @throws UserError when there is none of this name. */
export function findEstimator(name: string): Estimator {
  const found = ESTIMATORS.find((estimator) => estimator.name === name)
  if (found === undefined)
    throw new UserError(`No estimator "${name}". Use --model ${estimatorNames().join(' or --model ')}.`)
  return found
}
