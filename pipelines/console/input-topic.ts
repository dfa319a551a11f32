import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'

/**
 * Creates the topic `transactions`, when it is missing, with the number of partitions in the configuration.
 *
 * @throws UserError when the topic has fewer partitions. A scorer that counts on them would stand idle, and adding
 * partitions later moves keys.
 */
export async function readyInput(log: EventLog, { partitions }: Pick<Config['scorer'], 'partitions'>): Promise<void> {
  const { TRANSACTIONS } = await import('../../serving/topics.ts')
  const topic = await log.createTopic(TRANSACTIONS, { partitions })
  if (topic.partitions >= partitions) return
  const found = `${topic.partitions} partition${topic.partitions === 1 ? '' : 's'}`
  throw new UserError(
    `Topic "${TRANSACTIONS}" has ${found}, the configuration wants ${partitions} (scorer.partitions). ` +
      `Set scorer.partitions: ${topic.partitions}, or begin another log (FD_HOME, or ?prefix=NAME in the Kafka URL). ` +
      'On Kafka partitions can be added while the topic is empty; the command for it gives: fd doctor',
  )
}
