import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { ForestMember } from '../ensembles/forest-crew.ts'
import { awaitLoop, takeParts } from './crew-board.ts'
import type { CrewMember } from './crew.ts'
import { openKernel } from './module.ts'

// A thread of a crew: takes parts of each loop until it is told to end, or to turn to trees of its own.
const { module, memory, board, thread } = workerData as CrewMember
const kernel = openKernel(module, memory)
parentPort?.postMessage('joined')
while (awaitLoop(board)) takeParts(board, thread, kernel)
const turned = parentPort === null ? undefined : receiveMessageOnPort(parentPort)
if (turned !== undefined) (await import('../ensembles/forest-worker.ts')).growTrees(turned.message as ForestMember)
