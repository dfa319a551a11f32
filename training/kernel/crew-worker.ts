/**
 * The program of a crew's worker thread: it takes parts of each loop until it is told to end. If it was sent a job by
 * then, it does that job and ends after it.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { awaitLoop, takeParts } from './crew-board.ts'
import type { CrewEntry, CrewMember, CrewTurn } from './crew-member.ts'
import { openKernel } from './module.ts'

const { module, memory, board, thread } = workerData as CrewMember
const kernel = openKernel(module, memory)
parentPort?.postMessage('joined')
while (awaitLoop(board)) takeParts(board, thread, kernel)
const turned = parentPort === null ? undefined : receiveMessageOnPort(parentPort)
if (turned !== undefined) {
  const { entry, job } = turned.message as CrewTurn
  const { work } = (await import(entry)) as CrewEntry
  work(job)
}
