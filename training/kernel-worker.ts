import { parentPort, workerData } from 'node:worker_threads'
import type { CrewMember } from './crew.ts'
import { awaitLoop, takeParts } from './crew-board.ts'
import { openKernel } from './kernel-module.ts'

// A thread of a crew: takes parts of each loop until it is told to end.
const { module, memory, board, thread } = workerData as CrewMember
const kernel = openKernel(module, memory)
parentPort?.postMessage('joined')
while (awaitLoop(board)) takeParts(board, thread, kernel)
