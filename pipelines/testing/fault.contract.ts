import { setTimeout as wait } from 'node:timers/promises'
import type { Ended, FdProcess } from '../console/fd-process.ts'
import { expectAsInPeace } from './kill.contract.ts'
import { startStream } from './stream.contract.ts'
import type { World } from './world.ts'

/** A scorer that is started again when it ends for want of a server, as a supervisor would start it. */
export interface KeptScorer {
  /** What all of them have said on stderr so far. */
  said(): string
  /** Resolves when stderr has shown `text` at least `times`. */
  says(text: string, times?: number): Promise<void>
  /** Ends it with −9; it is started again. */
  kill(): void
  /** Ends it for good, in order. Rejects when one of them has ended for another reason than a server's absence. */
  stop(): Promise<void>
}

/** The only ends of a scorer that a fault of a server may cause: a start without one, and state that a server has lost. */
const EXCUSED = /No Redis answers at|No Kafka broker answers at|came back without state/
/** In the line of progress that a scorer writes once it has scored for a while. */
export const UNDER_WAY = ' alerts'
const RESTART_PAUSE_MS = 200
const SAYS_WITHIN_MS = 60_000
const LOOK_MS = 20

export function keepScoring(world: World, group: string): KeptScorer {
  let said = ''
  let current: FdProcess
  let stopped = false
  const run = async (): Promise<void> => {
    for (;;) {
      current = world.start('score', '--group', group)
      current.child.stderr?.on('data', (text: string) => (said += text))
      const { code, signal, stderr } = await current.ended
      if (stopped) return
      if (signal === 'SIGKILL') continue
      if (code !== 2 || !EXCUSED.test(stderr)) throw new Error(`The scorer ended with ${code ?? signal}: ${stderr}`)
      await wait(RESTART_PAUSE_MS)
    }
  }
  const running = run()
  // Looked at by stop(); a rejection before that must not end the test's process.
  running.catch(() => undefined)
  return {
    said: () => said,
    says: async (text, times = 1) => {
      const deadline = performance.now() + SAYS_WITHIN_MS
      while (said.split(text).length <= times) {
        if (performance.now() > deadline)
          throw new Error(`The scorer did not say "${text}" ${times} times within ${SAYS_WITHIN_MS / 1000} s: ${said}`)
        await Promise.race([wait(LOOK_MS), running])
      }
    },
    kill: () => void current.child.kill('SIGKILL'),
    stop: async () => {
      stopped = true
      current.child.kill('SIGTERM')
      await running
    },
  }
}

/** How a scorer ends by itself. One that does not within a minute is killed, so that the test fails with what it said. */
export async function endOf(scorer: FdProcess): Promise<Ended> {
  const patience = setTimeout(() => scorer.child.kill('SIGKILL'), SAYS_WITHIN_MS)
  try {
    return await scorer.ended
  } finally {
    clearTimeout(patience)
  }
}

/**
 * Lets `faults` happen while transactions stream through a scorer, and expects them to leave no trace: the producer and the
 * scorer outlive them, and each transaction has one prediction, that of an undisturbed group.
 *
 * @param stream transactions a second, and whether all live ones are sent or only what goes by while the faults happen
 */
export async function expectNoTraceOf(
  world: World,
  stream: { rate: number; whole: boolean },
  faults: (scorer: KeptScorer) => Promise<void>,
): Promise<{ transactions: number; said: string }> {
  const scorer = keepScoring(world, 'harmed')
  await scorer.says('Scoring with')
  const sent = startStream(world, stream.rate)
  await scorer.says(UNDER_WAY)
  await faults(scorer)
  // What follows the last fault is part of the stream.
  await wait(1000)
  const transactions = await sent.end(stream.whole)
  await scorer.stop()
  await expectAsInPeace(world, 'harmed', transactions)
  return { transactions, said: scorer.said() }
}
