import { Command } from 'commander'
import { sameCommand, withNext } from '../console/command-line.ts'
import {
  action,
  cutShort,
  example,
  positiveWholeNumber,
  stopSignal,
  wallClock,
  wholeNumber,
  type Context,
} from '../console/command.ts'
import { readyInput } from '../console/input-topic.ts'
import { count } from '../console/output.ts'
import { openLake, openLog } from '../console/parts.ts'

interface ArchiveCommandOptions {
  topic: string
  records: number
  every: number
  untilIdle?: boolean
}

export function archiveCommand(): Command {
  return example(
    new Command('archive')
      .description('copy a topic into the lake as Parquet, partition and offset kept, every record once')
      .option('--topic <topic>', 'topic to copy', 'transactions')
      .option('--records <n>', 'most records in a file', positiveWholeNumber, 100_000)
      .option('--every <seconds>', 'longest time a record waits for its file', wholeNumber, 60)
      .option('--until-idle', 'end when the whole topic is in the lake'),
    'fd archive --until-idle',
  ).action(action(run))
}

async function run({ config, output, fd }: Context, options: ArchiveCommandOptions): Promise<void> {
  const { topic, untilIdle = false } = options
  const { archive } = await import('../../serving/archive.ts')
  await using log = await openLog(config, output.note)
  await using lake = await openLake(config, output.note)
  if (topic === 'transactions') await readyInput(log, config.scorer)
  else await log.topic(topic)
  const progress = output.progress('archived')
  const signal = stopSignal()
  let records = 0
  await archive(
    { log, lake },
    {
      topic,
      group: 'archive',
      maxRecords: options.records,
      everyMs: options.every * 1000,
      endWhenIdle: () => untilIdle,
      signal,
      now: wallClock,
      onWritten: (written) => progress.update((records += written)),
    },
  )
  progress.end()
  const files = (await lake.list(topic)).length
  const result = { topic, records, files, lake: config.lake }
  const text = `${count(records)} records of "${topic}" archived; ${count(files)} files under ${config.lake}.`
  if (untilIdle && signal.aborted) {
    const state = `What is archived stays so; the rest is not yet. To go on, run: ${sameCommand()}`
    output.refuse(result, () => text, cutShort(signal, state))
  }
  output.result(result, () => withNext(text, fd('topics', 'list')))
}
