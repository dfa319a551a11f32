import type { CodeVersion } from '../../configs/code-version.ts'
import type { Config } from '../../configs/config.ts'
import { UserError, errorMessage } from '../../configs/user-error.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { Run } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Candidate, CandidateRequest } from '../../training/candidate.ts'
import type { Report } from '../../training/fit/report.ts'
import type { RunOwnership } from '../../training/ownership/heartbeat.ts'
import { finishedRun } from '../../training/parent-run.ts'
import { trainRun } from '../../training/run.ts'
import { noProgress } from '../console/output.ts'
import { openRegistry, ownRuns } from '../console/parts.ts'
import type { History } from './backfill-run.ts'
import { resolveReferences, sameCode, type TrainCandidate } from './kinds.ts'
import { buildTrainingSet } from './training-set.ts'

/** The job of one candidate, with what the configuration names. */
export async function trainCandidateJob(
  config: Config,
  data: TrainCandidate,
  report: (share: number) => void,
): Promise<{ runId: string }> {
  const code = sameCode(data.code)
  const [{ trainCandidate }, { trainForSelection }] = await Promise.all([
    import('../../training/candidate.ts'),
    import('../../training/selection.ts'),
  ])
  await using registry = await openRegistry(config)
  return await runCandidate(registry, data, {
    code,
    ownership: await ownRuns(config),
    now: Date.now,
    history: () => resolveReferences(config, data),
    train: async (history, closed) => {
      const bars = shareReports(data, report, closed)
      const set = await trainingSetOf(history, data)
      return data.purpose === 'selection'
        ? trainForSelection(set, candidateRequest(data), bars.fit)
        : trainCandidate(set, candidateRequest(data), bars.fit, bars.shuffle)
    },
  })
}

/** What a candidate is trained with. */
export interface CandidateMeans {
  code: CodeVersion
  /** Of the process of the job. */
  ownership: RunOwnership
  now: () => EpochMs
  history: () => Promise<History>
  /** `closed` is aborted when somebody else has ended the run; the training should then end. */
  train: (history: History, closed: AbortSignal) => Promise<Candidate>
}

/** Trains a candidate as a run. Done again, it finds the run that it finished, or starts anew as another run. */
export async function runCandidate(
  registry: Registry,
  data: TrainCandidate,
  { code, ownership, now, history: resolve, train }: CandidateMeans,
): Promise<{ runId: string }> {
  const place = { parentRunId: data.parentRunId, candidate: data.candidate }
  const finished = await finishedRun(registry, (await parentOf(registry, data)).experimentId, place)
  if (finished !== undefined) return { runId: finished }
  const history = await resolve()
  const { until, calibration } = data
  return await trainRun(registry, {
    ...data,
    ...history,
    code,
    until,
    calibration,
    parent: place,
    ownership,
    now,
    train: (closed) => train(history, closed),
  })
}

/**
 * The training set that this process made last. It is kept so that a worker that trains several candidates of one
 * command folds the history once.
 */
let lastSet: { key: string; set: Promise<TrainingSet> } | undefined

async function trainingSetOf(history: History, data: TrainCandidate): Promise<TrainingSet> {
  const { split, until, sort, estimator } = data
  const { findEstimator } = await import('../../training/catalog.ts')
  const unlabelled = findEstimator(estimator).unsupervised
  const key = JSON.stringify([data.dataset, data.service, split, until, sort, unlabelled])
  if (lastSet?.key !== key) {
    lastSet = { key, set: buildTrainingSet({ ...history, split, until, sort, unlabelled }, noProgress) }
  }
  return lastSet.set
}

function candidateRequest(data: TrainCandidate): CandidateRequest {
  const { estimator, params, split, seed, alertsPerDay, calibration, importance } = data
  return { estimator, params, split, seed, alertsPerDay, calibration, importance }
}

/**
 * Reports of the fit and of the shuffles as shares of the job. A job that also shuffles counts the fit as its first
 * half. Both end when `closed` is aborted.
 */
function shareReports(
  { importance }: TrainCandidate,
  report: (share: number) => void,
  closed: AbortSignal,
): { fit: Report; shuffle: (done: number, total: number) => boolean } {
  const half = importance === undefined ? 1 : 0.5
  return {
    fit: (round, _value, rounds) => {
      report((half * round) / rounds)
      return !closed.aborted
    },
    shuffle: (done, total) => {
      report(half + (half * done) / total)
      return !closed.aborted
    },
  }
}

/** The run of the command. @throws UserError when this worker's registry is another one. */
async function parentOf(registry: Registry, { parentRunId }: TrainCandidate): Promise<Run> {
  try {
    return await registry.getRun(parentRunId)
  } catch (error) {
    throw new UserError(
      `This worker's registry does not have the run of the command, ${parentRunId}: ${errorMessage(error)} ` +
        'Give both the same one (MLFLOW_TRACKING_URI).',
      { cause: error },
    )
  }
}
