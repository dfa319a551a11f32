import type { Dataset, SplitRule } from '../datasets/dataset.ts'
import type { EpochMs } from '../datasets/transaction.ts'
import { serviceDigest, type FeatureService } from '../features/view.ts'
import { logOnnxModel } from '../registry/ml-model.ts'
import type { ModelCard } from '../registry/model-card.ts'
import { register } from '../registry/promotion.ts'
import type { Registry } from '../registry/registry.ts'
import type { CalibrationRequest } from './calibration.ts'
import type { Candidate } from './candidate.ts'

/** A training job and what of it is to be kept. */
export interface RunRequest {
  experiment: string
  /** Registered model that gets a new version; undefined: the run alone is kept. */
  model: string | undefined
  estimator: string
  dataset: Dataset
  service: FeatureService
  split: SplitRule
  seed: number
  calibration: CalibrationRequest | undefined
  until: EpochMs | undefined
  sort: boolean
  codeVersion: string
  by: string
  now: () => EpochMs
  train: () => Promise<Candidate>
}

/** Params under which a run keeps how its training set was made, so that it can be made again. */
export const RUN_PARAMS = { file: 'dataset.file', split: 'split', until: 'until', sort: 'sort' } as const

/**
 * Trains within a run of the registry: params before, metrics and the ONNX folder after, a version when asked. A run that
 * fails is kept as FAILED.
 */
export async function logRun(registry: Registry, request: RunRequest): Promise<{ candidate: Candidate; runId: string; version?: number }> {
  const experimentId = await registry.createExperiment(request.experiment, { mayExist: true })
  const { runId } = await registry.createRun(experimentId, { tags: { 'mlflow.user': request.by, 'mlflow.source.name': request.codeVersion } })
  try {
    const digest = await request.dataset.digest()
    await registry.logBatch(runId, { params: paramsBefore(request, digest) })
    const candidate = await request.train()
    await registry.logBatch(runId, {
      params: Object.fromEntries(Object.entries(candidate.params).map(([key, value]) => [key, String(value)])),
      metrics: Object.entries(candidate.metrics).map(([key, value]) => ({ key, value })),
    })
    const source = await logOnnxModel(registry, runId, { onnx: candidate.onnx, signature: candidate.signature, now: request.now() })
    await registry.updateRun(runId, { status: 'FINISHED' })
    if (request.model === undefined) return { candidate, runId }
    const card = modelCard(request, candidate, digest)
    const { version } = await register(registry, { name: request.model, source, card, by: request.by, now: request.now() })
    return { candidate, runId, version }
  } catch (error) {
    await registry.updateRun(runId, { status: 'FAILED' })
    throw error
  }
}

function paramsBefore(request: RunRequest, digest: string): Record<string, string> {
  return {
    estimator: request.estimator,
    service: request.service.name,
    'dataset.name': request.dataset.name,
    'dataset.digest': digest,
    [RUN_PARAMS.file]: request.dataset.file,
    [RUN_PARAMS.split]: JSON.stringify(request.split),
    [RUN_PARAMS.sort]: String(request.sort),
    ...(request.until === undefined ? {} : { [RUN_PARAMS.until]: String(request.until) }),
    seed: String(request.seed),
    ...(request.calibration === undefined ? {} : { calibration: request.calibration.method, 'calibration.share': String(request.calibration.share) }),
  }
}

function modelCard({ service, dataset, codeVersion }: RunRequest, candidate: Candidate, digest: string): ModelCard {
  return {
    service: { name: service.name, digest: serviceDigest(service) },
    dataset: { name: dataset.name, digest, schema: dataset.schema },
    holdout: { digest: candidate.holdout.digest, rows: candidate.holdout.rows.length },
    signature: candidate.signature,
    threshold: candidate.threshold,
    metrics: candidate.metrics,
    codeVersion,
  }
}
