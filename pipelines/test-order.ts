import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { PROJECT_ROOT } from '../configs/config.ts'

/** Files that take more than ten seconds, the longest first. */
const LONG = [
  'pipelines/services-fault.test.ts',
  'pipelines/services-kill.test.ts',
  'pipelines/kill.test.ts',
  'training/job-queue.test.ts',
  'pipelines/service-refusals.test.ts',
  'pipelines/workers.test.ts',
  'pipelines/doctor.test.ts',
  'registry/registry-mlflow.test.ts',
  'pipelines/services.test.ts',
  'pipelines/errors.test.ts',
  'pipelines/stream.test.ts',
]

/**
 * The order of test files: long ones first, so that none runs alone at the end. Vitest knows how long each took the last time; this
 * is for a fresh checkout, and for a file that has failed and would begin the next run though it is short.
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
