import { expect, test } from 'vitest'
import { subset } from '../features/backfill/training-set.ts'
import { findEstimator } from './catalog.ts'
import { modelScores, toOnnx } from './fit/fitted-model.ts'
import { averagePrecision } from './metrics/metrics.ts'
import { expectedCalibrationError } from './metrics/reliability.ts'
import { expectParity, verifyOnnx } from './testing/parity.ts'
import { plantedSet } from './testing/planted-set.ts'

const set = plantedSet({ rows: 12_000, features: 5, frauds: 360 }, 3)
const rows = Int32Array.from({ length: set.rows }, (_, row) => row)
const [train, test_] = [subset(set, rows.subarray(0, 8000)), subset(set, rows.subarray(8000))]

/** For the package whose time grows with the square of the rows. */
const fewer = subset(set, rows.subarray(0, 1500))

/** Frauds weigh so much in none, or in one, of the fits. */
test.each<[string, Record<string, number>, Record<string, number>]>([
  ['boosting', { rounds: 200 }, { scale_pos_weight: 30 }],
  ['boosting', { rounds: 200 }, { scale_pos_weight: 0.1 }],
  ['neural', { epochs: 8 }, { fraud_weight: 30 }],
  ['neural', { epochs: 8 }, { fraud_weight: 0 }],
  ['forest', { trees: 40, min_samples_leaf: 10 }, {}],
  ['ml-random-forest', { trees: 5, max_depth: 6 }, {}],
])(
  'a score of %s (%j) is the probability in the population as it is, with the weight %j too',
  async (name, few, weight) => {
    const estimator = findEstimator(name)
    for (const extra of [{}, weight]) {
      const model = await estimator.fit(
        name === 'ml-random-forest' ? fewer : train,
        estimator.params({ ...few, ...extra }),
        1,
        () => true,
      )
      const scores = modelScores(model, test_.x)
      const mean = scores.reduce((sum, score) => sum + score, 0) / test_.rows
      const share = test_.y.reduce((sum, label) => sum + label, 0) / test_.rows
      // A weight that stays in the score makes this 2.6 times too much, or .37 of it; its logarithm taken out, .47.
      expect(Math.abs(Math.log(mean / share))).toBeLessThan(Math.log(1.5))
      expect(expectedCalibrationError(scores, test_.y)).toBeLessThan(0.025)
      expect(averagePrecision(scores, test_.y)).toBeGreaterThan(0.4)
      expectParity(await verifyOnnx(model, toOnnx(model), test_))
    }
  },
)
