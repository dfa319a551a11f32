import { UserError } from '../configs/user-error.ts'
import { autoencoder } from './autoencoder.ts'
import type { Estimator } from './estimator.ts'
import { isolation } from './isolation.ts'
import { mlRandomForest } from './ml-random-forest.ts'
import { neural } from './neural.ts'
import { boosting, forest } from './tree-estimator.ts'

const ESTIMATORS: Estimator[] = [boosting, forest, isolation, mlRandomForest, neural, autoencoder]

/** Names of all estimators. */
export function estimatorNames(): string[] {
  return ESTIMATORS.map(({ name }) => name)
}

/** @throws UserError when there is none of this name. */
export function findEstimator(name: string): Estimator {
  const found = ESTIMATORS.find((estimator) => estimator.name === name)
  if (found === undefined) throw new UserError(`No estimator "${name}". Use --model ${estimatorNames().join(' or --model ')}.`)
  return found
}
