import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { isActive } from '../../registry/model.ts'
import { openRegistry } from '../../registry/open.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Heartbeat } from './heartbeat-thread-data.ts'
import { HEARTBEAT } from './run-owner.ts'

/* A thread that gives signs of life for a run, until the run has ended or the thread is terminated. */
const { url, credentials, runId, everyMs } = workerData as Heartbeat

let registry: Registry | undefined
let active = true
for (let beat = 1; active; beat++) {
  await sleep(everyMs)
  try {
    registry ??= await openRegistry(url, { now: Date.now, credentials })
    await registry.setTag(runId, HEARTBEAT, String(beat))
    active = isActive((await registry.getRun(runId)).status)
  } catch {
    // A registry that is away is told by the process itself, which needs it for more than this. The next beat may come.
  }
}
await registry?.[Symbol.asyncDispose]()
parentPort?.postMessage('closed')
