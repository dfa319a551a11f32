import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { PROJECT_ROOT } from '../../configs/config.ts'

/** Test files that take more than ten seconds, the longest first. */
const LONG = [
  'pipelines/testing/services-fault.test.ts',
  'pipelines/testing/services-kill.test.ts',
  'serving/scorer/chain.test.ts',
  'serving/testing/simulation.test.ts',
  'pipelines/testing/kill.test.ts',
  'pipelines/testing/step-by-step.test.ts',
  'training/queue/job-queue.test.ts',
  'pipelines/testing/service-refusals.test.ts',
  'pipelines/testing/history-and-log.test.ts',
  'pipelines/testing/backfills.test.ts',
  'pipelines/commands/workers.test.ts',
  'pipelines/commands/doctor.test.ts',
  'registry/mlflow/registry.test.ts',
  'pipelines/services/services.test.ts',
  'pipelines/testing/errors.test.ts',
  'pipelines/testing/stream.test.ts',
  'pipelines/testing/hostile.test.ts',
  'pipelines/soak/soak.test.ts',
  'datasets/log/file-and-stream.test.ts',
  'training/metrics/permutation.test.ts',
  'features/fold/key-table.test.ts',
  'datasets/table/written-time.test.ts',
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
