import type { EpochMs } from '../datasets/table/transaction.ts'

/** Ids, names, and the keys and values of tags are text everywhere, as on MLflow's wire. */
export type Tags = Record<string, string>

export interface Experiment {
  /** Decimal digits on `sqlite:`, opaque elsewhere. Experiment "0" is `Default` and always exists. */
  experimentId: string
  name: string
  tags: Tags
  creationTime: EpochMs
  lastUpdateTime: EpochMs
}

/** One logged value. `value` may be NaN, Infinity or -Infinity; `step` may be negative. */
export interface Metric {
  key: string
  value: number
  timestamp: EpochMs
  step: number
}

/** A metric to log: `timestamp` defaults to the registry's clock, `step` to 0. */
export type NewMetric = Pick<Metric, 'key' | 'value'> & Partial<Metric>

interface RunBase {
  /** 32 hex digits. */
  runId: string
  /** Always equal to the tag `mlflow.runName`. */
  runName: string
  experimentId: string
  startTime: EpochMs
  /** Where the artifacts are: a `file:` URL on `sqlite:`. */
  artifactUri: string
  params: Record<string, string>
  /** The latest of each key: the highest (step, timestamp, value). */
  metrics: Record<string, number>
  tags: Tags
}

export type ActiveStatus = 'RUNNING' | 'SCHEDULED'
export type EndedStatus = 'FINISHED' | 'FAILED' | 'KILLED'
export type RunStatus = ActiveStatus | EndedStatus

/** Whether a run of this status has not ended. */
export function isActive(status: RunStatus): status is ActiveStatus {
  return status === 'RUNNING' || status === 'SCHEDULED'
}

/** A run that has ended says when. */
export type Run = RunBase & ({ status: ActiveStatus } | { status: EndedStatus; endTime: EpochMs })

/** What the end of a run writes besides status and time. `reason` becomes the tag `fd.end.reason`. */
export interface RunEnd {
  reason?: string
  tags?: Tags
}

/** Paths are relative to the run's artifact root, with `/`. */
export type ArtifactInfo = { path: string; isDir: true } | { path: string; isDir: false; fileSize: number }

export interface RegisteredModel {
  name: string
  description: string
  creationTime: EpochMs
  lastUpdatedTime: EpochMs
  tags: Tags
  /** Alias → version. */
  aliases: Record<string, number>
  /** The newest version that exists, undefined when there is none. */
  latestVersion: number | undefined
}

interface ModelVersionBase {
  name: string
  /** 1, 2, 3 … The number of a deleted version is never given again. */
  version: number
  description: string
  creationTime: EpochMs
  lastUpdatedTime: EpochMs
  /** Folder of the model's files: `runs:/RUN_ID/PATH` on `sqlite:`. */
  source: string
  /** Absent when the version was registered from outside a run. */
  runId?: string
  tags: Tags
  /** In alphabetical order. */
  aliases: string[]
}

export type ModelVersion = ModelVersionBase &
  ({ status: 'READY' } | { status: 'PENDING_REGISTRATION' } | { status: 'FAILED_REGISTRATION'; statusMessage: string })
