import type { DurationMs, EpochMs } from '../datasets/table/transaction.ts'
import type {
  ArtifactInfo,
  Experiment,
  Metric,
  ModelVersion,
  NewMetric,
  RegisteredModel,
  Run,
  RunStatus,
  Tags,
} from './model.ts'

/**
 * Where runs and models are kept. The port both drivers implement; verbs, ids, limits and rules are the MLflow Python
 * client's, camel-cased, and each maps to one REST call of an MLflow 3 server except where its comment says otherwise.
 * `registry.contract.ts` says what is promised, and runs against every driver.
 *
 * - What a call has written is seen by every later call of any process, and survives kill -9 of the writer.
 * - A name or value outside MLflow's limits (`naming.ts`) is a UserError and nothing is written.
 * - A run, model, version, alias or artifact that does not exist is a NotFoundError (a UserError).
 */
export interface Registry extends AsyncDisposable {
  // Tracking

  /** @returns its id. @throws UserError when the name is taken, unless `mayExist`: then the existing one's id. */
  createExperiment(name: string, options?: { tags?: Tags; mayExist?: boolean }): Promise<string>
  getExperiment(experimentId: string): Promise<Experiment>
  getExperimentByName(name: string): Promise<Experiment | undefined>
  /** All of them, newest first. */
  searchExperiments(): Promise<Experiment[]>
  /** A run in state RUNNING. `startTime` defaults to the registry's clock, `runName` to one made from the id. */
  createRun(experimentId: string, options?: { runName?: string; startTime?: EpochMs; tags?: Tags }): Promise<Run>
  getRun(runId: string): Promise<Run>
  /** An ended status takes `endTime`, by default the registry's clock; RUNNING or SCHEDULED clears it, for a run that resumes. */
  updateRun(runId: string, change: { status?: RunStatus; endTime?: EpochMs; runName?: string }): Promise<void>
  /**
   * Params are written once: the same value again is no change, another one a UserError. Metrics are appended; an equal
   * (key, step, timestamp, value) counts once. Tags are overwritten. All or nothing up to MLflow's 1000 metrics, 100
   * params, 100 tags and 1000 in all; beyond, a server gets several calls.
   */
  logBatch(runId: string, batch: { metrics?: NewMetric[]; params?: Record<string, string>; tags?: Tags }): Promise<void>
  setTag(runId: string, key: string, value: string): Promise<void>
  /** Every value logged under `key`, by step, then timestamp, then value; empty when none was. */
  getMetricHistory(runId: string, key: string): Promise<Metric[]>
  /** @throws UserError unless 1 ≤ `maxResults` ≤ 50,000 (default 1000). A server is asked page by page. */
  searchRuns(experimentId: string, options?: RunSearch): Promise<Run[]>

  // Artifacts

  /**
   * Atomic and durable: a reader finds all bytes or no artifact. A path is written once, because a registered model must not
   * change: the same bytes again are no change, others a UserError.
   */
  logArtifact(runId: string, path: string, bytes: Uint8Array): Promise<void>
  /** What stands directly in the folder `path` (default: the root), by path; empty when there is no such folder. */
  listArtifacts(runId: string, path?: string): Promise<ArtifactInfo[]>
  /** @throws UserError naming the file when its bytes are not those that were logged. */
  downloadArtifact(runId: string, path: string): Promise<Uint8Array>
  /** The file `path` of the version's source folder. On a server: model-versions/get-download-uri, then the file. */
  downloadModelArtifact(name: string, version: number, path: string): Promise<Uint8Array>

  // Models

  /** @throws UserError when the name is taken, unless `mayExist`. */
  createRegisteredModel(
    name: string,
    options?: { tags?: Tags; description?: string; mayExist?: boolean },
  ): Promise<RegisteredModel>
  getRegisteredModel(name: string): Promise<RegisteredModel>
  /** All of them, by name. */
  searchRegisteredModels(): Promise<RegisteredModel[]>
  setRegisteredModelTag(name: string, key: string, value: string): Promise<void>
  /** Deleting an absent tag is no error. */
  deleteRegisteredModelTag(name: string, key: string): Promise<void>
  /**
   * Adds a tag that must be new and, with it, moves an alias: both or neither. False, and nothing is written, when the tag
   * exists or the alias does not stand at `move.expected`. The step from which `history.ts` builds its append-only record.
   *
   * MLflow has no such call. A server gets registered-models/get to compare, set-tag, alias, and get again to see whether the
   * tag is still ours: two writers within those milliseconds are detected, not prevented, and a crash between
   * set-tag and alias leaves a record of a move that was not made, which `history` marks.
   */
  addRegisteredModelTag(name: string, tag: { key: string; value: string }, move?: AliasMove): Promise<boolean>
  /** Points the alias at an existing version, wherever it stood. Leaves no history: `promotion.ts` is the way to move a champion. */
  setRegisteredModelAlias(name: string, alias: string, version: number): Promise<void>
  /** Deleting an absent alias is no error. */
  deleteRegisteredModelAlias(name: string, alias: string): Promise<void>
  /** `source` is `runs:/RUN_ID/FOLDER`, with at least one artifact; `runId` defaults to the one in it. */
  createModelVersion(version: NewModelVersion): Promise<ModelVersion>
  getModelVersion(name: string, version: number): Promise<ModelVersion>
  getModelVersionByAlias(name: string, alias: string): Promise<ModelVersion>
  /** What a scorer asks several times a second: the version alone; undefined when there is no such model or alias. */
  aliasVersion(name: string, alias: string): Promise<number | undefined>
  setModelVersionTag(name: string, version: number, key: string, value: string): Promise<void>
  /** By name, newest version first. */
  searchModelVersions(filter?: { name?: string; runId?: string }): Promise<ModelVersion[]>
  /** @throws UserError while an alias points at it (MLflow would leave the alias dangling; a server is asked first). */
  deleteModelVersion(name: string, version: number): Promise<void>
}

export interface AliasMove {
  alias: string
  /** Where the alias must stand; undefined: it must not be set. */
  expected: number | undefined
  version: number
}

export interface NewModelVersion {
  name: string
  source: string
  runId?: string
  description?: string
  tags?: Tags
}

/** What `fd` searches runs by; MLflow's grammar is richer. All conditions must hold. */
export interface RunSearch {
  filter?: { status?: RunStatus; tags?: Tags; params?: Record<string, string> }
  /**
   * By the latest value of a metric: numbers, then NaN, then runs without it, in both directions, as MLflow orders them.
   * Without it, and among equals: the latest start first, then by run id.
   */
  orderBy?: { metric: string; direction: 'ascending' | 'descending' }
  maxResults?: number
}

/** What `configs/` read from MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD and MLFLOW_TRACKING_TOKEN. */
export interface MlflowCredentials {
  username?: string
  password?: string
  token?: string
}

export interface RegistryOptions {
  /** The clock that stamps runs, metrics, versions and tags for which the caller gives no time. */
  now: () => EpochMs
  /** 32 hex digits, different each time. Default: `crypto.randomUUID`. */
  newId?: () => string
  /** Of a server; a URL that carries its own comes first. */
  credentials?: MlflowCredentials
  /** How long one call is repeated while a server is away. Default: 15 s. */
  patience?: DurationMs
}
