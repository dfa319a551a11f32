import type { EventLog } from '../../datasets/log/event-log.ts'
import type { Lag } from './metrics.ts'

export interface LagOptions {
  topic: string
  everyMs: number
  /** The partitions of this process and the next offset of each; empty while it has none. */
  positions: () => ReadonlyMap<number, number>
  report: (lag: Lag) => void
}

/**
 * Compares every now and then where a topic ends with where its reader is. While the log cannot be asked, the lag is NaN: unknown.
 * On Kafka the markers of transactions count as records; `transactions` has none.
 */
export function watchLag(log: EventLog, { topic, everyMs, positions, report }: LagOptions): Disposable {
  const look = async (): Promise<void> => {
    try {
      const { offsets } = await log.topic(topic)
      report(
        new Map(
          [...positions()].map(([partition, next]) => [
            partition,
            Math.max(0, offsets[partition].end - Math.max(next, offsets[partition].start)),
          ]),
        ),
      )
    } catch {
      // Why the log does not answer is told by its driver.
      report(new Map([...positions().keys()].map((partition) => [partition, Number.NaN])))
    }
  }
  let timer: NodeJS.Timeout
  let ended = false
  const lookAgain = async (): Promise<void> => {
    await look()
    if (!ended) timer = setTimeout(() => void lookAgain(), everyMs).unref()
  }
  void lookAgain()
  return {
    // Not waited for: a look under way at a log that is away would hold the end up, and ends with the log.
    [Symbol.dispose]: () => {
      ended = true
      clearTimeout(timer)
    },
  }
}
