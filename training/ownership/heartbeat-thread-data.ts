import type { DurationMs } from '../../datasets/table/transaction.ts'
import type { MlflowCredentials } from '../../registry/registry.ts'

/** The registry of a run, as a thread can open it for itself. */
export interface RegistryPlace {
  url: string
  credentials: MlflowCredentials
}

/** What the thread of a heartbeat is given. */
export interface Heartbeat extends RegistryPlace {
  runId: string
  /** Time between two signs of life. */
  everyMs: DurationMs
}
