import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { codeVersion } from '../../configs/code-version.ts'
import { environmentWith } from '../../configs/config.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import { openEventLog } from '../../datasets/open.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { HOUR } from '../../datasets/table/transaction.ts'
import { TRANSACTIONS } from '../../serving/topics.ts'
import type { Ended } from '../console/fd-process.ts'
import type { OwnServices } from '../testing/own-services.ts'
import { startedProcesses } from '../testing/started.ts'
import type { World } from '../testing/world.ts'
import { checkOutcome, type Outcome } from './check.ts'
import { disturb, processVictims, SCORING, SENDING, serverVictims, type Blows } from './disturbance.ts'
import { flatness, sample, type Flatness, type Sample } from './flatness.ts'
import type { ProducerOrder } from './producer.ts'
import { recordsADay, soakStream } from './soak-stream.ts'
import { supervise, type Supervised } from './supervisor.ts'

export interface SoakOptions {
  seed: number
  /** Records of the stream. */
  events: number
  /** Blows to the processes. */
  kills: number
  /** The servers that the world's log and store are on. Without them both are embedded. */
  servers?: OwnServices
  /** Told about progress. */
  tell: (line: string) => void
}

export interface SoakReport {
  soak: 'embedded' | 'services'
  seed: number
  events: number
  blows: Blows
  scorers: number
  producers: number
  seconds: number
  eventsPerSecond: number
  outcome: Outcome
  verify: { transactions: number; values: number; differences: number; duplicates: number; missing: number }
  /** Undefined where the stream is too short, or the machine does not tell what a process holds. */
  flat: { throughKills?: Flatness; inOneLife?: Flatness }
  /** What was found wrong, in words. Nothing when the soak has passed. */
  faults: string[]
  machine: string
  code: string
}

/** The blows fall in this part of the stream. What is left is scored by one process, whose memory is watched. */
const DISTURBED = 0.8
/** Until the windows of weeks are full, memory must grow. In days of the stream. */
const FILLING_DAYS = 45
/** What a process may take to fill its memory after its start, as a share of the stream. */
const WARM_UP = 0.02
const SAMPLE_MS = 250
const TELL_MS = 15_000
/** The group of the configuration: its dead letters are in the live topic. */
const GROUP = 'scorer'

/**
 * Streams through scorer and producer processes of a world while both are killed and stopped. Afterwards each record
 * must have what is due to it, once, and each feature the value that batch computes.
 *
 * @throws when a process ends though nobody had struck it.
 */
export async function soak(world: World, log: string, options: SoakOptions): Promise<SoakReport> {
  const { seed, events, kills, tell } = options
  // The history has ended by then, so that no disorder leads back into it.
  const start = Date.parse(world.cut) + 6 * HOUR
  const order: ProducerOrder = { log, seed, events, start, lead: Math.max(5_000, (2 * events) / kills) }
  const begun = performance.now()
  const streamed = await streamAll(world, order, options)
  const seconds = (performance.now() - begun) / 1000
  tell('checking each record')
  await using eventLog = await openEventLog(log, tell)
  const outcome = await checkOutcome(eventLog, soakStream(order))
  tell('recomputing each feature')
  const { stdout, stderr } = await world.try('features', 'verify', '--group', GROUP, '--json')
  if (stdout === '') throw new Error(`fd features verify failed: ${stderr}`)
  const { transactions, values, differences, duplicates, missing } = JSON.parse(stdout) as SoakReport['verify']
  const verify = { transactions, values, differences, duplicates, missing }
  const { samples, ...counts } = streamed
  const flat = judgeFlatness(samples, events)
  return {
    soak: options.servers === undefined ? 'embedded' : 'services',
    seed,
    events,
    ...counts,
    seconds: Math.round(seconds),
    eventsPerSecond: Math.round(events / seconds),
    outcome,
    verify,
    flat,
    faults: faultsOf(events, outcome, verify, flat),
    machine: `${cpus().length} × ${cpus()[0].model}, Node ${process.version}`,
    code: codeVersion().version,
  }
}

/** Sends and scores the whole stream, with all blows. */
async function streamAll(
  world: World,
  order: ProducerOrder,
  { kills, seed, events, servers, tell }: SoakOptions,
): Promise<Pick<SoakReport, 'blows' | 'scorers' | 'producers'> & { samples: Sample[] }> {
  await using log = await openEventLog(order.log, tell)
  await using started = startedProcesses()
  const scorer = supervise(() => world.start('score', '--group', GROUP, '--json'), cameTooEarly(SCORING))
  await scorer.says(SCORING)
  const program = join(import.meta.dirname, 'producer.ts')
  const producer = supervise(
    () => started.program(program, [JSON.stringify(order)], environmentWith({})),
    cameTooEarly(SENDING),
  )
  const ended = new AbortController()
  const samples: Sample[] = []
  const watching = watch(log, scorer, { samples, signal: ended.signal, tell })
  let blows: Blows
  try {
    const victims = [...processVictims(scorer, producer), ...(servers === undefined ? [] : serverVictims(servers))]
    const struck = disturb(victims, {
      count: kills,
      end: events * DISTURBED,
      random: randomStream(seed, 1),
      position: () => sentTo(log),
    })
    const failed = Promise.all([scorer.done, watching]).then(() => ({}))
    blows = await Promise.race([struck, failed, producer.done.then(() => struck)])
    await Promise.race([producer.done, failed])
  } finally {
    ended.abort()
    await Promise.allSettled([scorer.stop(), producer.stop()])
  }
  await Promise.all([scorer.done, watching])
  await world.fd('score', '--group', GROUP, '--until-idle')
  return { blows, samples, scorers: scorer.lives(), producers: producer.lives() }
}

/**
 * Whether a process was started while a server was away, and so never began. It ends at once, since a wrong address is
 * likelier than a server that comes back, and whoever supervises it starts it again.
 */
function cameTooEarly(begun: string): (ended: Ended) => boolean {
  return ({ code, stderr }) =>
    code !== 0 && !stderr.includes(begun) && /No (Kafka broker|Redis) answers at/.test(stderr)
}

/** How many records the log has. */
async function sentTo(log: EventLog): Promise<number> {
  return (await log.topic(TRANSACTIONS)).offsets[0].end
}

interface Watch {
  samples: Sample[]
  signal: AbortSignal
  tell: (line: string) => void
}

/** Looks at the scorer until the signal, and says now and then how far the stream is. */
async function watch(log: EventLog, scorer: Supervised, { samples, signal, tell }: Watch): Promise<void> {
  let told = performance.now()
  while (!signal.aborted) {
    const at = await sentTo(log)
    const taken = sample(scorer.current().child.pid, at)
    if (taken !== undefined) samples.push(taken)
    if (performance.now() - told > TELL_MS) {
      told = performance.now()
      tell(`${at} records sent, scorer ${scorer.lives()}, ${samples.at(-1)?.memory ?? 0} bytes`)
    }
    await wait(SAMPLE_MS)
  }
}

function judgeFlatness(samples: readonly Sample[], events: number): SoakReport['flat'] {
  const filled = FILLING_DAYS * recordsADay(events)
  const disturbed = events * DISTURBED
  const throughKills = filled < disturbed / 2 ? flatness(samples, filled, disturbed) : undefined
  const alone = disturbed + events * WARM_UP
  const inOneLife = filled < alone ? flatness(samples, alone, events) : undefined
  return { ...(throughKills && { throughKills }), ...(inOneLife && { inOneLife }) }
}

function faultsOf(events: number, outcome: Outcome, verify: SoakReport['verify'], flat: SoakReport['flat']): string[] {
  const { records, transactions, labels, bad, repeats, lost, unanswered, surplus, wrong } = outcome
  const wanted: [fault: string, holds: boolean][] = [
    [`the log has ${records} records, fewer than were sent`, records >= events],
    [`${lost} records were lost before the log`, lost === 0],
    [`${unanswered} records have no prediction or dead letter`, unanswered === 0],
    [`${surplus} predictions or dead letters are one too many`, surplus === 0],
    [`${wrong} predictions or dead letters are of another record`, wrong === 0],
    ['the answers do not add up to the records', transactions + labels + bad + repeats === records],
    [`${verify.transactions} transactions were compared of ${transactions}`, verify.transactions === transactions],
    [`${verify.differences} features differ`, verify.differences === 0],
    ['verify found transactions predicted twice or not at all', verify.duplicates + verify.missing === 0],
    ...Object.entries(flat).flatMap(([when, { memoryMegabytes, descriptors }]): [string, boolean][] => [
      [`memory grew (${when})`, memoryMegabytes.flat],
      [`descriptors grew (${when})`, descriptors.flat],
    ]),
  ]
  return wanted.filter(([, holds]) => !holds).map(([fault]) => fault)
}
