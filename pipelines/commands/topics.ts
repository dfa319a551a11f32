import { setTimeout as wait } from 'node:timers/promises'
import { Command } from 'commander'
import type { Config } from '../../configs/config.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import { withNext } from '../console/command-line.ts'
import { action, dateTime, example, stopSignal, wholeNumber, type Context } from '../console/command.ts'
import { count, table, terminalWidth, type Output } from '../console/output.ts'
import { openLog } from '../console/parts.ts'
import {
  recordHeading,
  recordLine,
  recordRow,
  topicRecords,
  type RecordFilter,
  type TopicRecord,
} from '../console/topic-record.ts'

export function topicsCommand(): Command {
  const topics = new Command('topics').description('what is in the event log')
  topics.addCommand(
    example(new Command('list').description('topics with their partitions and offsets'), 'fd topics list').action(
      action(list),
    ),
  )
  topics.addCommand(
    example(
      new Command('read')
        .description(
          'print records: partition, offset, key, timestamp, value; as a table on a terminal, cut to its width, ' +
            'elsewhere and with --json one JSON document a line; partition by partition, and what follows as it comes',
        )
        .argument('<topic>')
        .option('--from <offset>', 'first offset (default: the oldest kept)', wholeNumber)
        .option('--since <time>', 'only records with this timestamp or a later one', dateTime)
        .option('--key <key>', 'only records of this key')
        .option('--transaction <id>', 'only records about this transaction')
        .option('--limit <n>', 'stop after this many records', wholeNumber)
        .option('--follow', 'wait for more, also for a topic that is not there yet'),
      'fd topics read fraud_alerts --follow',
      'fd topics read predictions --transaction 4711',
      'fd topics read transactions.dlq --since 2026-07-25T08:00:00Z --limit 10',
    ).action(action(read)),
  )
  return topics
}

async function list({ config, output, fd }: Context): Promise<void> {
  await using log = await openLog(config, output.note)
  const found = await log.topics()
  const rows = found.map((topic) => [
    topic.name,
    topic.partitions,
    topic.offsets.reduce((sum, { start, end }) => sum + end - start, 0),
  ])
  output.result(found, () =>
    found.length === 0
      ? 'No topics yet. Run: fd produce --dataset simulated'
      : withNext(table(['topic', 'partitions', 'records'], rows), fd('topics', 'read', found[0].name, { limit: 3 })),
  )
}

interface ReadOptions extends RecordFilter {
  from?: number
  limit?: number
  follow?: boolean
}

async function read({ config, output }: Context, options: ReadOptions, name: string): Promise<void> {
  const { limit, follow = false } = options
  await using log = await openLog(config, output.note)
  const stop = new AbortController()
  const signal = AbortSignal.any([stop.signal, stopSignal()])
  if (follow) await topicComes(log, name, output.note, signal)
  if (signal.aborted) return
  const topic = await log.topic(name)
  const isId = await idColumns(config)
  const show = recordPrinter(output)
  let left = limit ?? Infinity
  if (left === 0) return
  /** Prints a partition from an offset on. @returns the offset behind the last record that was read. */
  const print = async (partition: number, from: number, on: boolean): Promise<number> => {
    let next = from
    for await (const batch of log.read(name, partition, { from, follow: on, signal })) {
      next = batch.offsets[batch.size - 1] + 1
      const found = [...topicRecords(batch, options, isId)].slice(0, Number.isFinite(left) ? left : undefined)
      left -= found.length
      if (found.length > 0) await show(found)
      if (left <= 0) stop.abort()
      if (signal.aborted) break
    }
    return next
  }
  // What is there comes by partition, whether or not more is waited for; what follows comes as it arrives.
  const ends: number[] = []
  for (const partition of topic.offsets.keys()) {
    if (!signal.aborted) ends.push(await print(partition, await firstOffset(log, name, partition, options), false))
  }
  if (follow && !signal.aborted) await Promise.all(ends.map((end, partition) => print(partition, end, true)))
  if (limit !== undefined && left > 0 && !follow) output.note(`${count(limit - left)} records, the topic has no more.`)
}

/** `--from` or `--since`, whichever is later. */
async function firstOffset(
  log: EventLog,
  topic: string,
  partition: number,
  { from = 0, since }: ReadOptions,
): Promise<number> {
  return since === undefined ? from : Math.max(from, await log.offsetAt(topic, partition, since))
}

/** Prints records; resolves when stdout takes more. */
function recordPrinter({ json }: Output): (records: readonly TopicRecord[]) => Promise<void> {
  const width = json ? Infinity : terminalWidth()
  let heading = Number.isFinite(width) ? recordHeading(width) : ''
  return async (records) => {
    const lines = records.map((record) => (Number.isFinite(width) ? recordRow(record, width) : recordLine(record)))
    const text = heading + lines.join('')
    heading = ''
    if (process.stdout.write(text)) return
    await new Promise<void>((resolve) => process.stdout.once('drain', resolve))
  }
}

/** Tells the fields that hold the id of a transaction: fd's own, and the id columns of all datasets. */
async function idColumns(config: Config): Promise<(name: string) => boolean> {
  const { idColumnsOf } = await import('../../datasets/catalog.ts')
  const columns = new Set(idColumnsOf(config))
  return (name) => columns.has(name)
}

/** Time between two looks for a topic that is not there yet. */
const LOOK_EVERY_MS = 200

/** Waits until there is a topic of this name, or `signal` aborts. @throws UserError when no topic can have it. */
async function topicComes(log: EventLog, name: string, note: Output['note'], signal: AbortSignal): Promise<void> {
  const { checkLogName } = await import('../../datasets/log/log-name.ts')
  checkLogName(name)
  for (let told = false; !signal.aborted; told = true) {
    if ((await log.topics()).some((topic) => topic.name === name)) return
    if (!told) note(`There is no topic "${name}" yet: waiting for it. Ctrl-C ends this.`)
    await wait(LOOK_EVERY_MS, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}
