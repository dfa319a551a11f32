import type { Config } from '../../configs/config.ts'
import type { Tell } from '../../configs/tell.ts'
import type { Lake } from '../../datasets/lake/lake.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import type { OnlineStore } from '../../features/store/online-store.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Sweep } from '../../training/ownership/abandoned.ts'
import type { RunOwnership } from '../../training/ownership/heartbeat.ts'
import type { OpenProgress } from './output.ts'

/** What a function needs that trains or judges a model. */
export interface ModelParts {
  registry: Registry
  /** Says where the datasets are. */
  config: Config
  /** For the bars of long steps, such as folding the history. */
  openProgress: OpenProgress
}

/**
 * Opens the event log of the configuration. `tell` hears what a call waits for while a service is away; a command
 * passes its `output.note`, so that the user sees why it stands still.
 */
export async function openLog({ eventLog }: Pick<Config, 'eventLog'>, tell: Tell): Promise<EventLog> {
  const { openEventLog } = await import('../../datasets/open.ts')
  return openEventLog(eventLog, tell)
}

/** Opens the online store of the configuration. `tell` as for `openLog`. */
export async function openStore({ onlineStore }: Pick<Config, 'onlineStore'>, tell: Tell): Promise<OnlineStore> {
  const { openOnlineStore } = await import('../../features/open.ts')
  return openOnlineStore(onlineStore, tell)
}

/** Opens the lake of the configuration. `tell` as for `openLog`. */
export async function openLake({ lake, s3 }: Pick<Config, 'lake' | 's3'>, tell: Tell): Promise<Lake> {
  const lakes = await import('../../datasets/open.ts')
  return lakes.openLake(lake, s3, tell)
}

/** Opens the registry of the configuration. An MLflow server is first asked at the first call. */
export async function openRegistry({ registry, mlflow }: Pick<Config, 'registry' | 'mlflow'>): Promise<Registry> {
  const registries = await import('../../registry/open.ts')
  return registries.openRegistry(registry, { now: Date.now, credentials: mlflow })
}

/**
 * Makes this process the owner of runs in the registry of the configuration. `tell` hears when a run gives no more
 * signs of life.
 */
export async function ownRuns(
  { registry, mlflow, heartbeatMs }: Pick<Config, 'registry' | 'mlflow' | 'heartbeatMs'>,
  tell?: Tell,
): Promise<RunOwnership> {
  const { runOwnership } = await import('../../training/ownership/heartbeat.ts')
  return runOwnership({ url: registry, credentials: mlflow }, heartbeatMs, tell)
}

/** Closes the runs of processes that are gone, while a command does its work. */
export async function sweepAbandoned(registry: Registry, tell: Tell): Promise<Sweep> {
  const { sweepRuns } = await import('../../training/ownership/abandoned.ts')
  return sweepRuns(registry, tell)
}
