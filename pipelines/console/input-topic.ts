import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'

/**
 * Makes the topic `transactions` with the partitions of the configuration, when it is missing.
 *
 * @throws UserError when it has fewer: a scorer that counts on them would stand idle, and adding some later moves keys.
 */
export async function readyInput(log: EventLog, { scorer: { partitions } }: Pick<Config, 'scorer'>): Promise<void> {
  const { TRANSACTIONS } = await import('../../serving/topics.ts')
  const topic = await log.createTopic(TRANSACTIONS, { partitions })
  if (topic.partitions >= partitions) return
  throw new UserError(
    `Topic "${TRANSACTIONS}" has ${topic.partitions} partition${topic.partitions === 1 ? '' : 's'}, the configuration wants ${partitions} (scorer.partitions). ` +
      `Set scorer.partitions: ${topic.partitions}, or begin another log (FD_HOME, or ?prefix=NAME in the Kafka URL). On Kafka partitions can be added while the topic is empty; the command for it gives: fd doctor`,
  )
}
