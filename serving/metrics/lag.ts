import type { EventLog } from '../../datasets/log/event-log.ts'
import type { Lag } from './metrics.ts'

export interface LagOptions {
  topic: string
  everyMs: number
  /** The partitions of this process and the next offset to read of each; empty while it has none. */
  positions: () => ReadonlyMap<number, number>
  report: (lag: Lag) => void
}

/**
 * Compares the end of a topic with its reader's position, every `everyMs` milliseconds. While the log does not answer,
 * the lag is NaN: unknown. On Kafka the markers of transactions would count as records, but `transactions` has none.
 */
export function watchLag(log: EventLog, { topic, everyMs, positions, report }: LagOptions): Disposable {
  const look = async (): Promise<void> => {
    try {
      const { offsets } = await log.topic(topic)
      const behind = (partition: number, next: number): number => {
        const { start, end } = offsets[partition]
        return Math.max(0, end - Math.max(next, start))
      }
      report(new Map([...positions()].map(([partition, next]) => [partition, behind(partition, next)])))
    } catch {
      // The log's driver reports why it does not answer.
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
    // Does not wait for a look that is under way. When the log is away that would delay the end, and the look ends with
    // the log anyway.
    [Symbol.dispose]: () => {
      ended = true
      clearTimeout(timer)
    },
  }
}
