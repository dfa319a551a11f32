import { setTimeout as wait } from 'node:timers/promises'
import type { Ended, FdProcess } from '../console/fd-process.ts'
import { expectAsInPeace } from './kill.contract.ts'
import { startStream } from './stream.contract.ts'
import type { World } from './world.ts'

/** A scorer that is started again whenever it ends because a server is away, as a supervisor would do it. */
export interface KeptScorer {
  /** The stderr of all its processes so far. */
  said(): string
  /** Resolves when stderr has shown `text` at least `times`. */
  says(text: string, times?: number): Promise<void>
  /** Kills it with −9; it is then started again. */
  kill(): void
  /** Ends it for good, by SIGTERM. Rejects when one of its processes ended for a reason other than an absent server. */
  stop(): Promise<void>
}

/** The only reasons for which a server's fault may end a scorer: no server at the start, and state that it has lost. */
const EXCUSED = /No Redis answers at|No Kafka broker answers at|came back without state/
/** Part of the line of progress that a scorer writes once it has scored for a while. */
export const UNDER_WAY = ' alerts'
const RESTART_PAUSE_MS = 200
const SAYS_WITHIN_MS = 60_000
const LOOK_MS = 20

function keepScoring(world: World, group: string): KeptScorer {
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
  // stop() awaits it. A rejection before that must not end the test's process.
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

/**
 * Resolves when a scorer has ended by itself. After a minute it is killed, so that the test fails and shows its stderr.
 */
export async function endOf(scorer: FdProcess): Promise<Ended> {
  const patience = setTimeout(() => scorer.child.kill('SIGKILL'), SAYS_WITHIN_MS)
  try {
    return await scorer.ended
  } finally {
    clearTimeout(patience)
  }
}

interface FaultyStream {
  /** Transactions a second. */
  rate: number
  /** Whether all live transactions are sent, or only those that pass while the faults happen. */
  whole: boolean
}

/**
 * Lets `faults` happen while transactions stream through a scorer, and expects that they leave no trace: the producer
 * and the scorer survive them, and each transaction has one prediction, equal to that of an undisturbed group.
 */
export async function expectNoTraceOf(
  world: World,
  stream: FaultyStream,
  faults: (scorer: KeptScorer) => Promise<void>,
): Promise<{ transactions: number; said: string }> {
  const scorer = keepScoring(world, 'harmed')
  await scorer.says('Scoring with')
  const sent = startStream(world, stream.rate)
  await scorer.says(UNDER_WAY)
  await faults(scorer)
  // Let some of the stream pass after the last fault, too.
  await wait(1000)
  const transactions = await sent.end(stream.whole)
  await scorer.stop()
  await expectAsInPeace(world, 'harmed', transactions)
  return { transactions, said: scorer.said() }
}
