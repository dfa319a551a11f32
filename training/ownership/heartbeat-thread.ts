import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { openRegistry } from '../../registry/open.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Heartbeat } from './heartbeat-thread-data.ts'
import { giveSigns } from './signs-of-life.ts'

/* A thread that gives signs of life for a run, until the run has ended or the thread is terminated. */
const { url, credentials, runId, everyMs } = workerData as Heartbeat

let registry: Registry | undefined
await giveSigns(
  async () => (registry ??= await openRegistry(url, { now: Date.now, credentials })),
  runId,
  everyMs,
  sleep,
)
await registry?.[Symbol.asyncDispose]()
parentPort?.postMessage('closed')
