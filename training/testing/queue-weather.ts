import type { Random } from '../../datasets/random/random.ts'
import { ATTEMPTS } from '../queue/job-queue.ts'

/** What may happen in a schedule of a job queue. Without a word, a seed chooses. */
export interface QueueWeather {
  /** Workers of the right code that serve at one time. */
  workers: number
  concurrency: number
  /** Whether one more worker has other code, and refuses every job. */
  foreign: boolean
  commands: number
  /** Most jobs of a command. */
  jobs: number
  /** Most failures of a job that is no good at first. `ATTEMPTS` of them are its end. */
  failures: number
  /** Longest training, ms. */
  trainingMs: number
  /** Of a command. */
  heartbeatMs: number
  /** How likely a call of the network is to fail, and to lose its answer. */
  refused: number
  unanswered: number
  /** How likely each is at a step. */
  kill: number
  freeze: number
  stop: number
  takeBack: number
  /** The server comes back empty. */
  forget: number
  /** The server goes away for good. */
  goAway: number
  /** The only kill, if given, is of this process at this step. */
  killAt?: { step: number; of: 'worker' | 'command' }
}

export function queueWeather(random: Random): QueueWeather {
  const sometimes = (most: number): number => (random.integer(2) === 0 ? 0 : random.uniform() * most)
  const seldom = (most: number): number => (random.integer(6) === 0 ? random.uniform() * most : 0)
  return {
    workers: 1 + random.integer(3),
    concurrency: 1 + random.integer(2),
    foreign: random.integer(4) === 0,
    commands: 1 + random.integer(3),
    jobs: 1 + random.integer(4),
    failures: random.integer(2) * ATTEMPTS,
    trainingMs: [500, 4_000, 10_000, 30_000][random.integer(4)],
    heartbeatMs: 800 + random.integer(1_500),
    refused: sometimes(0.03),
    unanswered: sometimes(0.03),
    kill: sometimes(0.01),
    freeze: sometimes(0.01),
    stop: sometimes(0.004),
    takeBack: sometimes(0.01),
    forget: seldom(0.002),
    goAway: seldom(0.0005),
  }
}

/** Nothing fails, and nobody dies. */
export const CALM = {
  refused: 0,
  unanswered: 0,
  kill: 0,
  freeze: 0,
  stop: 0,
  takeBack: 0,
  forget: 0,
  goAway: 0,
} satisfies Partial<QueueWeather>

/** Whether nobody dies or is stopped, and the network never fails. */
export function isHealthy({ refused, unanswered, kill, freeze, forget, goAway, killAt }: QueueWeather): boolean {
  return refused + unanswered + kill + freeze + forget + goAway === 0 && killAt === undefined
}
