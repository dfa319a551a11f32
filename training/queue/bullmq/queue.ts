import { redisAddress } from '../../../configs/connections/redis.ts'
import type { JobQueue } from '../job-queue.ts'
import { openSharedQueue } from '../shared/queue.ts'
import { openBullmqServer } from './server.ts'

/**
 * Opens the queue on a Redis server. Whoever submits jobs gives a sign of life every `heartbeatMs`. `tell` gets a line
 * when the server is lost, when it is back, and when BullMQ has an error of another kind.
 *
 * @throws UserError when the server cannot be reached or refuses us.
 */
export async function openBullmqQueue(
  url: string,
  heartbeatMs: number,
  tell: (line: string) => void = () => {},
): Promise<JobQueue> {
  return openSharedQueue(await openBullmqServer(redisAddress(url), tell), heartbeatMs)
}
