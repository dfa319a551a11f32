import { Command } from 'commander'
import { action, example, stopSignal, wallClock, wholeNumber, type Context } from './command.ts'
import { count } from './output.ts'

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
      .option('--records <n>', 'most records in a file', wholeNumber, 100_000)
      .option('--every <seconds>', 'longest time a record waits for its file', wholeNumber, 60)
      .option('--until-idle', 'end when the whole topic is in the lake'),
    'fd archive --until-idle',
  ).action(action(run))
}

async function run({ config, output }: Context, options: ArchiveCommandOptions): Promise<void> {
  const [{ openEventLog }, { openLake }, { archive }] = await Promise.all([import('../datasets/event-log.ts'), import('../datasets/lake.ts'), import('../serving/archive.ts')])
  await using log = await openEventLog(config.eventLog, output.note)
  await using lake = await openLake(config.lake, config.s3)
  const progress = output.progress('archived')
  let records = 0
  await archive({ log, lake }, {
    topic: options.topic,
    group: 'archive',
    maxRecords: options.records,
    everyMs: options.every * 1000,
    endWhenIdle: () => options.untilIdle ?? false,
    signal: stopSignal(),
    now: wallClock,
    onWritten: (written) => progress.update((records += written)),
  })
  progress.end()
  const files = await lake.list(options.topic)
  output.result({ topic: options.topic, records, files: files.length, lake: config.lake }, () => `${count(records)} records of "${options.topic}" archived; ${count(files.length)} files under ${config.lake}.`)
}
