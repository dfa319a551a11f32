import { parentPort, workerData } from 'node:worker_threads'
import { errorMessage } from '../configs/user-error.ts'
import { awaitChange, type CrewMember, END, FLAG, JOB, OPERATIONS } from './crew.ts'
import { openKernel } from './kernel-module.ts'

// A thread of a crew: waits for a job, does it, says so, until it is told to end.
const { module, memory, job, flags, failure } = workerData as CrewMember
const kernel = openKernel(module, memory)
Atomics.store(flags, FLAG.joined, 1)
parentPort?.postMessage('joined')
for (let seen = 0; ; seen++) {
  awaitChange(flags, FLAG.given, seen)
  if (job[JOB.operation] === END) break
  let done = seen + 1
  try {
    const call = kernel[OPERATIONS[job[JOB.operation]]] as (...args: number[]) => number
    job[JOB.result] = call(...job.subarray(JOB.arguments, JOB.arguments + job[JOB.count]))
  } catch (error) {
    failure.set(new TextEncoder().encode(errorMessage(error)).subarray(0, failure.length - 1))
    done = -1
  }
  Atomics.store(flags, FLAG.done, done)
  Atomics.notify(flags, FLAG.done)
}
