import { workerData } from 'node:worker_threads'
import { z } from 'zod'

const LOOK_EVERY_MS = 250

/*
 * A thread that kills its process when the parent is gone. The main thread would notice too, but only between two turns
 * of its event loop, and a job can compute for minutes in one turn.
 */
const parent = z.number().parse(workerData)
setInterval(() => {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL')
}, LOOK_EVERY_MS)
