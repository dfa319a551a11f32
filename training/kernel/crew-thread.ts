import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { CrewMember, CrewTurn } from './crew-member.ts'

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
