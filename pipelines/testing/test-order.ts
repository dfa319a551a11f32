import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { PROJECT_ROOT } from '../../configs/config.ts'

/** Test files that take more than ten seconds, the longest first. */
const LONG = [
  'pipelines/testing/services-kill.test.ts',
  'pipelines/testing/services-fault.test.ts',
  'pipelines/testing/projects/three-projects.test.ts',
  'registry/mlflow/registry.test.ts',
  'pipelines/commands/workers.test.ts',
  'pipelines/testing/kill.test.ts',
  'pipelines/testing/projects/own-features.test.ts',
  'pipelines/commands/doctor.test.ts',
  'pipelines/jobs/abandoned-runs.test.ts',
  'datasets/log/kafka/log.test.ts',
  'training/queue/job-queue.test.ts',
  'pipelines/commands/promote.test.ts',
  'pipelines/testing/service-refusals.test.ts',
  'pipelines/testing/history-and-log.test.ts',
  'pipelines/testing/newer.test.ts',
  'pipelines/testing/step-by-step.test.ts',
  'pipelines/commands/models-threshold.test.ts',
  'datasets/log/lmdb/log.test.ts',
  'datasets/lake/s3.test.ts',
  'pipelines/services/services.test.ts',
  'pipelines/testing/errors.test.ts',
  'pipelines/testing/other-stream.test.ts',
  'pipelines/testing/stream.test.ts',
  'pipelines/testing/categories.test.ts',
  'pipelines/testing/backfills.test.ts',
  'features/backfill/backfill.test.ts',
  'pipelines/jobs/shards.test.ts',
  'pipelines/commands/batch/score-file.test.ts',
  'pipelines/init/init.test.ts',
  'pipelines/contest/contest.test.ts',
  'datasets/log/file-and-stream.test.ts',
  'pipelines/commands/score-metrics.test.ts',
  'pipelines/commands/scoring-groups.test.ts',
  'registry/sqlite/registry.test.ts',
  'pipelines/soak/soak.test.ts',
  'training/probability.test.ts',
  'datasets/odd-files.test.ts',
  'pipelines/commands/produce.test.ts',
  'training/fit/categories.test.ts',
  'serving/testing/heap.test.ts',
  'pipelines/testing/hostile.test.ts',
  'serving/scorer/chain.test.ts',
  'training/networks/neural.test.ts',
  'pipelines/testing/earlier-world.test.ts',
  'serving/testing/simulation.test.ts',
  'registry/testing/simulation.test.ts',
  'pipelines/testing/topics-read.test.ts',
  'training/candidate.test.ts',
  'datasets/published/kaggle-cc.test.ts',
]

/**
 * The order of test files: long ones first, so that no long one runs alone at the end. Vitest remembers how long each
 * file took the last time. This order serves a fresh checkout, and keeps a short file that failed from coming first in
 * the next run.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONG.indexOf(relative(PROJECT_ROOT, moduleId))
      return at === -1 ? LONG.length : at
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

/** The other way round, for who ends at the first test that fails. */
export class QuickestFirst extends LongestFirst {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toReversed()
  }
}
