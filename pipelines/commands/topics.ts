import { setTimeout as wait } from 'node:timers/promises'
import { TextDecoder } from 'node:util'
import { Command } from 'commander'
import type { EventLog, RecordBatch } from '../../datasets/log/event-log.ts'
import { withNext } from '../console/command-line.ts'
import { action, example, stopSignal, wholeNumber, type Context } from '../console/command.ts'
import { count, table, type Output } from '../console/output.ts'
import { openLog } from '../console/parts.ts'

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
        .description('print records, one JSON document a line: partition, offset, key, timestamp, value')
        .argument('<topic>')
        .option('--from <offset>', 'first offset (default: the oldest kept)', wholeNumber)
        .option('--limit <n>', 'stop after this many records', wholeNumber)
        .option('--follow', 'wait for more, also for a topic that is not there yet'),
      'fd topics read fraud_alerts --follow',
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

interface ReadOptions {
  from?: number
  limit?: number
  follow?: boolean
}

async function read({ config, output }: Context, options: ReadOptions, name: string): Promise<void> {
  const { from = 0, limit, follow = false } = options
  await using log = await openLog(config, output.note)
  const stop = new AbortController()
  const signal = AbortSignal.any([stop.signal, stopSignal()])
  if (follow) await topicComes(log, name, output.note, signal)
  if (signal.aborted) return
  const topic = await log.topic(name)
  let left = limit ?? Infinity
  const print = async (partition: number): Promise<void> => {
    for await (const batch of log.read(name, partition, { from, follow, signal })) {
      const lines = [...recordLines(batch)].slice(0, Number.isFinite(left) ? left : undefined)
      left -= lines.length
      if (lines.length > 0 && !process.stdout.write(lines.join(''))) {
        await new Promise<void>((resolve) => process.stdout.once('drain', resolve))
      }
      if (left <= 0) return stop.abort()
    }
  }
  if (left > 0) {
    if (follow) await Promise.all(topic.offsets.map((_, partition) => print(partition)))
    else for (const partition of topic.offsets.keys()) if (left > 0) await print(partition)
  }
  if (limit !== undefined && left > 0 && !follow) output.note(`${count(limit - left)} records, the topic has no more.`)
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

const utf8 = new TextDecoder()

function* recordLines(batch: RecordBatch): Generator<string> {
  for (let i = 0; i < batch.size; i++) {
    const key = batch.bytes.subarray(batch.keyStart[i], batch.valueStart[i])
    yield `${JSON.stringify({
      partition: batch.partition,
      offset: batch.offsets[i],
      key: key.length === 0 ? null : utf8.decode(key),
      timestamp: batch.timestamps[i],
      value: asJson(utf8.decode(batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i]))),
    })}\n`
  }
}

/** The value that the text is the JSON of, or the text itself when it is not JSON. */
function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return text
    throw error
  }
}
