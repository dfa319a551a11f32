import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeVersion, type CodeVersion } from '../../configs/code-version.ts'
import { jobProcesses, type JobProcesses } from '../../training/queue/job-process.ts'
import { authorTags } from '../../training/run.ts'
import { backfillShardKind, trainCandidateKind, type BackfillShard, type TrainCandidate } from './kinds.ts'

let processes: JobProcesses
beforeAll(() => {
  processes = jobProcesses(join(import.meta.dirname, '../fd.ts'), ['job-process'])
})
afterAll(() => processes[Symbol.asyncDispose]())

const dataset = { name: 'simulated', file: '/nowhere.parquet', digest: 'a' }
const shared = { dataset, service: { name: 'card-fraud', digest: 'b' }, sort: false }
const shard = {
  ...shared,
  folder: '/nowhere',
  count: 1,
  shard: 0,
  features: true,
  states: false,
} satisfies BackfillShard
const candidate = {
  ...shared,
  parentRunId: 'c',
  purpose: 'use',
  candidate: 0,
  experiment: 'e',
  split: { kind: 'ordered', trainShare: 0.7 },
  estimator: 'boosting',
  params: {},
  seed: 0,
  alertsPerDay: 1,
  by: 'somebody',
} satisfies TrainCandidate

/** The reason for which a worker's process refuses the job. */
async function refusal(kind: string, data: object): Promise<string> {
  const job = { kind, id: 'one', data }
  return await processes
    .run(job, () => {}, new AbortController().signal)
    .then(
      () => 'done',
      (error: Error) => error.message,
    )
}

const other: CodeVersion = { version: 'fd 0.1.0 (feedbeef0000, sources 012345678901)', digest: '0'.repeat(64) }

test.each([
  [backfillShardKind.name, shard],
  [trainCandidateKind.name, candidate],
])('a worker refuses a %s of other code, and names both', { timeout: 60_000 }, async (kind, data) => {
  for (const [code, named] of [
    [other, other.version],
    [undefined, 'an older fd'],
  ] as const) {
    const reason = await refusal(kind, code === undefined ? data : { ...data, code })
    expect(reason).toContain(`has the code ${codeVersion().version}, and the job was submitted by ${named}`)
    expect(reason).toContain('Start one from the code of the command: fd worker')
  }
})

test('the same sources are the same code, with git or without', { timeout: 60_000 }, async () => {
  const { digest } = codeVersion()
  for (const code of [codeVersion(), { version: 'fd 0.1.0 (sources)', digest }]) {
    expect(await refusal(backfillShardKind.name, { ...shard, code })).toContain('has no folder /nowhere')
  }
})

test('a run names its code, and the commit where there is one', () => {
  const tags = { 'mlflow.user': 'a', 'mlflow.source.name': other.version }
  expect(authorTags({ by: 'a', code: other })).toEqual(tags)
  const code = { ...other, commit: 'feedbeef' }
  expect(authorTags({ by: 'a', code })).toEqual({ ...tags, 'mlflow.source.git.commit': 'feedbeef' })
})
