import { setTimeout as wait } from 'node:timers/promises'
import { Command } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import type { EventLog, NewRecord } from '../../datasets/log/event-log.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { timeWord, withNext, type Word } from '../console/command-line.ts'
import {
  action,
  cutShort,
  dateTime,
  example,
  positiveNumber,
  stopSignal,
  wallClock,
  wholeNumber,
  type Context,
} from '../console/command.ts'
import { readyInput } from '../console/input-topic.ts'
import { count } from '../console/output.ts'
import { openLog } from '../console/parts.ts'

interface ProduceOptions {
  dataset: string
  data?: string
  from?: number
  until?: number
  limit?: number
  rate?: number
  sort?: boolean
}

export function produceCommand(): Command {
  return example(
    new Command('produce')
      .description(
        'replay a dataset into the topic "transactions", in log order, ' +
          'with fraud labels at the moment they became known',
      )
      .requiredOption('--dataset <name>', 'dataset to replay')
      .option('--data <file>', 'its file, when not the configured one')
      .option(
        '--from <date>',
        'start at this instant: later transactions, and labels that became known later',
        dateTime,
      )
      .option('--until <date>', 'stop before this instant', dateTime)
      .option('--limit <n>', 'stop after this many transactions', wholeNumber)
      .option('--rate <tps>', 'events a second (default: as fast as possible)', positiveNumber)
      .option('--sort', 'order the file by time first'),
    'fd produce --dataset simulated --from 2018-06-01 --rate 5000',
  ).action(action(produce))
}

async function produce({ config, output, fd }: Context, options: ProduceOptions): Promise<void> {
  const [{ openDataset }, { requireTimes }] = await Promise.all([
    import('../../datasets/catalog.ts'),
    import('../../datasets/table/dataset.ts'),
  ])
  const dataset = await openDataset(options.dataset, config, { data: options.data })
  requireTimes(dataset, { from: options.from, until: options.until, sort: options.sort })
  await using log = await openLog(config, output.note)
  await readyInput(log, config.scorer)
  const progress = output.progress('produce', options.limit)
  const signal = stopSignal()
  const started = performance.now()
  let reached: Reached | undefined
  const onSent = (done: Reached): void => {
    reached = { ...done }
    progress.update(done.transactions)
  }
  const { next, ...sent } = await replay(log, dataset, { ...options, signal, onSent }).catch((error: unknown) => {
    throw reached === undefined
      ? error
      : partSent(error, reached, dataset, (rest) => fd('produce', restOf(options, ...rest)))
  })
  progress.end()
  const seconds = (performance.now() - started) / 1000
  const what = `${count(sent.transactions)} transactions and ${count(sent.labels)} fraud labels`
  const text = `${what} sent to "transactions" in ${seconds.toFixed(1)} s.`
  if (next !== undefined) {
    const rest = fd('produce', restOf(options, next, sent.transactions))
    const state =
      dataset.schema.time === 'none'
        ? 'The other rows of the file are not in the log. To go on, send them as a file of their own: --data FILE'
        : `Every event before ${timeWord(next)} is in the log, none from then on. To go on, run: ${rest}`
    output.refuse({ ...sent, next: timeWord(next), seconds }, () => text, cutShort(signal, state))
  }
  if (sent.transactions + sent.labels === 0 && options.limit !== 0) {
    output.note(`${dataset.file} has no event in this time. Change --from and --until, or leave them out.`)
  }
  output.result({ ...sent, seconds }, () => withNext(text, fd('score', { 'until-idle': true })))
}

/** Where a replay ended that an error ended, such as a bad row after good ones; and how to send what is left. */
function partSent(
  error: unknown,
  { transactions, labels, time, before }: Reached,
  { schema }: Dataset,
  command: (rest: [from: number, sent: number]) => string,
): unknown {
  if (!(error instanceof UserError)) return error
  const state = `${count(transactions)} transactions and ${count(labels)} fraud labels are in the log already.`
  const rest =
    schema.time === 'none'
      ? 'Send the other rows as a file of their own: --data FILE'
      : `To send what is left (what is then there twice counts once): ${command([time, before])}`
  return new UserError(`${error.message}\n${state}\n${rest}`, { exitCode: error.exitCode, cause: error })
}

/** The options that send what a replay left. */
function restOf({ dataset, data, until, limit, rate, sort }: ProduceOptions, from: number, sent: number): Word {
  const left = limit === undefined ? undefined : limit - sent
  return { dataset, data, from: timeWord(from), until: timeWord(until), limit: left, rate, sort }
}

/** Most events in one append, which is a block of the log. */
const BATCH = 1024

export interface Replay {
  /** Start at this instant: later transactions, and labels that became known later. */
  from?: number
  /** Stop before this instant. */
  until?: number
  /** Most transactions. */
  limit?: number
  /** Events a second. Default: as fast as possible. */
  rate?: number
  /** Order the file by time first. */
  sort?: boolean
  /** Ends the replay after the last event of the millisecond it has reached, so that it can go on from the next. */
  signal: AbortSignal
  onSent?: (done: Reached) => void
}

/** How far a replay has come. */
interface Reached {
  transactions: number
  labels: number
  /** The `logTime` of the last event that was sent, in whole milliseconds. Of its instant there may be more. */
  time: EpochMs
  /** Transactions that were sent of earlier instants. */
  before: number
}

/** What a replay has sent. */
export interface Replayed {
  transactions: number
  labels: number
  /** Where the signal cut it short: the `logTime` of the first event that was not sent, in whole milliseconds. */
  next?: EpochMs
}

/**
 * Appends a dataset's events to the topic "transactions". With a rate it is an open loop: each event is sent at its
 * time, whether or not readers keep up.
 */
export async function replay(log: EventLog, dataset: Dataset, options: Replay): Promise<Replayed> {
  const [{ encodeEvent }, { inLogOrder }, { FRAUD_LABEL, logTime }] = await Promise.all([
    import('../../datasets/log/event-json.ts'),
    import('../../datasets/order/log-order.ts'),
    import('../../datasets/table/transaction.ts'),
  ])
  const { from, until, limit = Infinity, rate = Infinity, signal } = options
  const bounds = { ...(from === undefined ? {} : { from }), ...(until === undefined ? {} : { until }) }
  const sent: Replayed = { transactions: 0, labels: 0 }
  const pace = pacer(rate, signal)
  let [reached, before] = [-Infinity, 0]
  for await (const batch of inLogOrder(dataset.batches({ sort: options.sort ?? false }), dataset.schema, bounds)) {
    for (let row = 0; row < batch.size && sent.transactions < limit;) {
      const end = Math.min(batch.size, row + (await pace()))
      const now = wallClock()
      const records: NewRecord[] = []
      for (; row < end && sent.transactions < limit; row++) {
        const time = Math.floor(logTime(batch, row))
        if (signal.aborted && time !== reached) {
          sent.next = time
          break
        }
        if (time !== reached) [reached, before] = [time, sent.transactions]
        records.push(encodeEvent(dataset.schema, batch, row, now))
        if (batch.kind[row] === FRAUD_LABEL) sent.labels++
        else sent.transactions++
      }
      if (records.length > 0) await log.append('transactions', records)
      if (sent.next !== undefined) return sent
      options.onSent?.({ ...sent, time: reached, before })
    }
    if (sent.transactions >= limit) break
  }
  return sent
}

/**
 * Waits until at least one event may be sent, and resolves to how many may be sent now. An abort ends the wait, and all
 * others.
 */
function pacer(rate: number, signal: AbortSignal): () => Promise<number> {
  let started: number | undefined
  let allowed = 0
  return async () => {
    if (!Number.isFinite(rate) || signal.aborted) return BATCH
    // Time counts from the first event on: the time spent reading up to it is not made up for.
    started ??= performance.now()
    for (;;) {
      const due = Math.floor(((performance.now() - started) / 1000) * rate) - allowed
      if (due > 0) {
        const now = Math.min(due, BATCH)
        allowed += now
        return now
      }
      if (signal.aborted) return BATCH
      await wait(1)
    }
  }
}
