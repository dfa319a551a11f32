import { Worker } from 'node:worker_threads'
import type { Tell } from '../../configs/tell.ts'
import { errorMessage } from '../../configs/user-error.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import type { Tags } from '../../registry/model.ts'
import type { Heartbeat, RegistryPlace } from './heartbeat-thread-data.ts'
import { ownerTags } from './run-owner.ts'

/** How a process owns runs. */
export interface RunOwnership {
  /** For `createRun`, so that no run is ever without its owner. */
  tags: Tags
  /** Begins to give signs of life for a run. */
  begin(runId: string): SignsOfLife
}

/** Disposing ends them. */
export interface SignsOfLife extends AsyncDisposable {
  /** Aborted when somebody else has ended the run, so that nobody works on it for nothing. */
  closed: AbortSignal
}

/**
 * Makes this process the owner of runs. Signs of life come from a thread, because a fit may not give the event loop a
 * turn for minutes. A process that is stopped or killed gives none.
 *
 * @param everyMs time between two signs of life.
 * @param tell hears when the thread has failed, and a run gives no more signs.
 */
export function runOwnership(place: RegistryPlace, everyMs: DurationMs, tell: Tell = () => {}): RunOwnership {
  return {
    tags: ownerTags(everyMs),
    begin(runId) {
      const thread = new Worker(new URL('./heartbeat-thread.ts', import.meta.url), {
        workerData: { ...place, runId, everyMs } satisfies Heartbeat,
      })
      thread.unref()
      const closed = new AbortController()
      thread.once('message', () => closed.abort())
      // A fault of the thread costs signs of life. Unheard it would cost the training too: it would end the process.
      thread.on('error', (error) => tell(`Run ${runId} gives no more signs of life: ${errorMessage(error)}`))
      return {
        closed: closed.signal,
        async [Symbol.asyncDispose]() {
          await thread.terminate()
        },
      }
    },
  }
}
