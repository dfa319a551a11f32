import { setTimeout as wait } from 'node:timers/promises'
import type { ServiceName } from '../../configs/config.ts'
import type { Random } from '../../datasets/random/random.ts'
import type { OwnServices } from '../testing/own-services.ts'
import type { Supervised } from './supervisor.ts'

/** How many of each blow have fallen. */
export type Blows = Record<string, number>

/** Something that can be struck while the stream runs, and the share of the blows that it gets. */
export interface Victim {
  name: string
  share: number
  strike(random: Random): Promise<void>
}

/** What a scorer says when it begins, and what a producer says. */
export const SCORING = 'Scoring with'
export const SENDING = 'sending from'

/** Longest life of a scorer between its start and the blow. */
const LONGEST_LIFE_MS = 800
/** One blow in so many hits a scorer that may not have begun to score. */
const EARLY = 8
const LONGEST_PAUSE_MS = 1_000
const LONGEST_ABSENCE_MS = 3_000

/** Scorer and producer: killed with −9, asked to end, or held for a while and let go on. */
export function processVictims(scorer: Supervised, producer: Supervised): Victim[] {
  const alive = async (random: Random): Promise<void> => {
    if (random.integer(EARLY) > 0) await scorer.says(SCORING)
    await wait(random.uniform() * LONGEST_LIFE_MS)
  }
  const pause = async (process: Supervised, random: Random): Promise<void> => {
    const { child } = process.current()
    child.kill('SIGSTOP')
    await wait(random.uniform() * LONGEST_PAUSE_MS)
    child.kill('SIGCONT')
  }
  return [
    {
      name: 'scorerKilled',
      share: 0.6,
      strike: async (random) => {
        await alive(random)
        await scorer.strike('SIGKILL')
      },
    },
    {
      name: 'scorerEnded',
      share: 0.1,
      strike: async (random) => {
        await alive(random)
        await scorer.strike('SIGTERM')
      },
    },
    {
      name: 'scorerStopped',
      share: 0.1,
      strike: async (random) => {
        await alive(random)
        await pause(scorer, random)
      },
    },
    { name: 'producerKilled', share: 0.15, strike: () => producer.strike('SIGKILL') },
    { name: 'producerStopped', share: 0.05, strike: (random) => pause(producer, random) },
  ]
}

/** The servers of scorer and producer: killed with −9, away for a while, and started again on what they had written. */
export function serverVictims(servers: OwnServices): Victim[] {
  const victim = (name: ServiceName, share: number): Victim => ({
    name: `${name}Killed`,
    share,
    strike: async (random) => {
      await servers.kill(name)
      await wait(random.uniform() * LONGEST_ABSENCE_MS)
      await servers.start(name)
    },
  })
  return [victim('redis', 0.15), victim('kafka', 0.1)]
}

/**
 * Strikes `count` times, at random moments before `end` of the stream: each victim once, then whom the shares give.
 * Resolves when all blows have fallen.
 *
 * @param position how many records the log has.
 */
export async function disturb(
  victims: readonly Victim[],
  { count, end, random, position }: { count: number; end: number; random: Random; position: () => Promise<number> },
): Promise<Blows> {
  const blows: Blows = Object.fromEntries(victims.map(({ name }) => [name, 0]))
  const moments = Array.from({ length: count }, () => random.uniform() * end).sort((a, b) => a - b)
  for (const [n, moment] of moments.entries()) {
    while ((await position()) < moment) await wait(20)
    const victim = victims[n] ?? draw(victims, random)
    await victim.strike(random)
    blows[victim.name]++
  }
  return blows
}

function draw(victims: readonly Victim[], random: Random): Victim {
  let left = random.uniform() * victims.reduce((sum, { share }) => sum + share, 0)
  return victims.find(({ share }) => (left -= share) < 0) ?? victims[0]
}
