import type { DurationMs, EpochMs } from '../datasets/table/transaction.ts'
import type {
  ArtifactInfo,
  EndedStatus,
  Experiment,
  Metric,
  ModelVersion,
  NewMetric,
  RegisteredModel,
  Run,
  RunEnd,
  RunStatus,
  Tags,
} from './model.ts'

/**
 * Where runs and models are kept: the port of both drivers. `registry.contract.ts` holds each of them to it.
 *
 * **Names and limits.** Verbs, ids, limits and rules are the MLflow Python client's, in camel case. Each verb maps to
 * one REST call of an MLflow 3 server, except where its comment says otherwise. A name or value outside MLflow's limits
 * (`naming.ts`) is a UserError, and nothing is written.
 *
 * **Durability.** What a call has written is seen by every later call of any process, and survives kill -9 of the
 * writer. On `sqlite:` a decision (a registration, an alias, an entry of the history, an artifact) also survives a
 * power cut as soon as the call returns. Everything else does so with the next decision or checkpoint. A server is as
 * durable as its own stores.
 *
 * **What is written once.** A param of a run, the bytes at an artifact path, the number of a version, and an entry of a
 * model's history. To write the same param or the same bytes again is no change; others are a UserError. The embedded
 * driver enforces all of this. A server enforces it for params and version numbers; the rest holds there among `fd`
 * processes only.
 *
 * **Who owns a RUNNING run.** The registry itself does not know: a process that is killed leaves its run RUNNING, and
 * the registry never ends such a run by itself. `training/ownership` keeps the owner and its signs of life in tags, and
 * ends runs whose owner is gone. Several may try to end one run, its owner among them: `endRun` lets one of them do it.
 *
 * **Concurrency of promotions.** `promotion/promotion.ts` moves a champion through `addRegisteredModelTag`, which
 * adds the next entry of the history and moves the alias: both or neither. On `sqlite:` that is one transaction: of
 * two promotions at once, the second finds the entry taken and decides again. MLflow has no such call. There a param
 * decides, which a server writes once: `mlflow/ledger.ts`. Tag and alias follow it. When a writer is killed before they
 * did, `history` marks the move, and the next writer of the model completes it. That one also sets an alias right which
 * the last call of a killed writer has set back: `mlflow/completion.ts`.
 *
 * **Errors.** What does not exist (experiment, run, artifact, model, version, alias) is a NotFoundError, which is a
 * UserError. So is a call that contradicts what is kept (`conflict.ts`), a server that is away or refuses, a full or
 * damaged disk, and a locked database. Anything else that is thrown is a bug.
 */
export interface Registry extends AsyncDisposable {
  // Tracking

  /**
   * @returns its id. With `mayExist`, the id of the experiment that has the name.
   * @throws UserError when the name is taken, unless `mayExist`.
   */
  createExperiment(name: string, options?: { tags?: Tags; mayExist?: boolean }): Promise<string>
  getExperiment(experimentId: string): Promise<Experiment>
  getExperimentByName(name: string): Promise<Experiment | undefined>
  /** All of them, newest first. */
  searchExperiments(): Promise<Experiment[]>
  /** A run that is RUNNING. `startTime` defaults to the registry's clock, `runName` to one made from the id. */
  createRun(experimentId: string, options?: { runName?: string; startTime?: EpochMs; tags?: Tags }): Promise<Run>
  getRun(runId: string): Promise<Run>
  /**
   * An ended status takes `endTime`, by default the registry's clock. RUNNING and SCHEDULED clear it and the reason of
   * the end: the run resumes, and can be ended anew.
   */
  updateRun(runId: string, change: { status?: RunStatus; endTime?: EpochMs; runName?: string }): Promise<void>
  /**
   * Ends a run that is RUNNING or SCHEDULED, by the registry's clock. Of all who try, one does; and one more for each
   * time that the run was resumed by `updateRun`. Tags come with the end, all or nothing. Whoever finds that another
   * was killed while it ended the run completes what that one began. On a server a run that MLflow's own client
   * resumes is such a run.
   *
   * @returns false for all others. The run is then as the one has left it.
   */
  endRun(runId: string, status: EndedStatus, end?: RunEnd): Promise<boolean>
  /**
   * Params are written once. Metrics are appended; an equal (key, step, timestamp, value) counts once. Tags are
   * overwritten.
   *
   * All or nothing up to MLflow's limits of one call: 1000 metrics, 100 params, 100 tags, 1000 of them together, and
   * 1 MB. A server gets a larger batch in several calls.
   */
  logBatch(runId: string, batch: { metrics?: NewMetric[]; params?: Record<string, string>; tags?: Tags }): Promise<void>
  setTag(runId: string, key: string, value: string): Promise<void>
  /** Every value logged under `key`, by step, then timestamp, then value. Empty when none was. */
  getMetricHistory(runId: string, key: string): Promise<Metric[]>
  /** @throws UserError unless 1 ≤ `maxResults` ≤ 50,000 (default 1000). A server is asked page by page. */
  searchRuns(experimentId: string, options?: RunSearch): Promise<Run[]>

  // Artifacts

  /**
   * Atomic and durable: a reader finds all bytes or no artifact. A path is written once, because a registered model
   * must not change.
   *
   * @throws UserError when other bytes are at `path`, or when it would be both file and folder.
   */
  logArtifact(runId: string, path: string, bytes: Uint8Array): Promise<void>
  /** What is directly in the folder `path` (default: the root), by path. Empty when there is no such folder. */
  listArtifacts(runId: string, path?: string): Promise<ArtifactInfo[]>
  /** @throws UserError that names the file when its bytes are not those that were logged. */
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
   * Adds a tag that must be new and, with it, moves an alias: both or neither. `history.ts` builds its append-only
   * record on this, and it is for entries of that record only. On a server, see "Concurrency of promotions" above.
   *
   * @returns false, with nothing written, when the tag exists or the alias does not point at `move.expected`.
   */
  addRegisteredModelTag(name: string, tag: { key: string; value: string }, move?: AliasMove): Promise<boolean>
  /** Points the alias at an existing version, wherever it pointed. Leaves no history: promote a champion instead. */
  setRegisteredModelAlias(name: string, alias: string, version: number): Promise<void>
  /** Deleting an absent alias is no error. */
  deleteRegisteredModelAlias(name: string, alias: string): Promise<void>
  /** `source` is `runs:/RUN_ID/FOLDER`, with at least one artifact; `runId` defaults to the one in it. */
  createModelVersion(version: NewModelVersion): Promise<ModelVersion>
  getModelVersion(name: string, version: number): Promise<ModelVersion>
  getModelVersionByAlias(name: string, alias: string): Promise<ModelVersion>
  /**
   * The number of the version that the alias points at; undefined when there is no such model or alias. Cheap,
   * because a scorer asks several times a second. A call to a server that is away is not repeated.
   */
  aliasVersion(name: string, alias: string): Promise<number | undefined>
  setModelVersionTag(name: string, version: number, key: string, value: string): Promise<void>
  /** By name, newest version first. */
  searchModelVersions(filter?: { name?: string; runId?: string }): Promise<ModelVersion[]>
  /**
   * @throws UserError while an alias points at it. MLflow would leave the alias dangling, so a server is asked first.
   */
  deleteModelVersion(name: string, version: number): Promise<void>
}

export interface AliasMove {
  alias: string
  /** The version that the alias must point at; undefined: the alias must not be set. */
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

/** What a run must be to be found. All conditions must hold. MLflow's grammar is richer. */
export interface RunFilter {
  status?: RunStatus
  tags?: Tags
  params?: Record<string, string>
}

export interface RunSearch {
  filter?: RunFilter
  /**
   * By the latest value of a metric, as MLflow orders: numbers, then NaN, then runs without the metric, in both
   * directions. Without `orderBy`, and among equals, the latest start comes first, then the lower run id.
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
  /** For a server. Credentials in its URL come first. */
  credentials?: MlflowCredentials
  /** How long one call is repeated while a server is away. Default: 15 s. */
  patience?: DurationMs
}
