import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Board } from './crew-board.ts'

/** What a thread of a crew is started with. */
export interface CrewMember {
  module: WebAssembly.Module | undefined
  memory: WebAssembly.Memory
  board: Board
  /** Its number, from 1. */
  thread: number
}

/** What a thread is sent to do when its loops end. */
export interface CrewTurn {
  /** URL of a module that is a `CrewEntry`. */
  entry: string
  job: unknown
}

/** What a module exports that a crew can be turned to. */
export interface CrewEntry {
  work(job: unknown): void
}

/** A thread of a crew that was started: a worker that runs `crew-worker.ts`. */
export interface CrewThread {
  /** Resolves when it has started. */
  joined: Promise<unknown>
  /** Sends it a job, to be done when its loops end: see `Crew.turnTo`. */
  turn(entry: URL, job: unknown): Worker
  /** Resolves when it is gone. It has to be told to end first. */
  ended(): Promise<void>
}

export function startThread(member: CrewMember): CrewThread {
  const worker = new Worker(new URL('./crew-worker.ts', import.meta.url), { workerData: member })
  let ending = false
  // A crew that nobody ends must not keep the process alive.
  const joined = once(worker, 'message').then(() => ending || worker.unref())
  const keep = (): void => {
    ending = true
    worker.ref()
  }
  return {
    joined,
    turn(entry, job) {
      keep()
      worker.postMessage({ entry: entry.href, job } satisfies CrewTurn)
      return worker
    },
    async ended() {
      if (worker.threadId < 0) return
      keep()
      await once(worker, 'exit')
    },
  }
}
