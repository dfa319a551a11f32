import type { GroupMember, ShareListener } from './event-log.ts'

/** The partitions assigned to a group's member, and which of them its listener has been told of. */
export interface MemberShare {
  /** The assigned partitions, each with the next offset to consume as last committed. */
  readonly committed: Map<number, number>
  /** Adds partitions. The next `announce` tells the listener of them. */
  assign(committed: ReadonlyMap<number, number>): void
  /**
   * Tells the listener of the partitions that were added since. If the listener throws, the next call tells it again.
   */
  announce(member: GroupMember): Promise<void>
  /** Has the listener hand partitions over, then forgets them. If the listener throws, they remain in the share. */
  revoke(partitions: readonly number[]): Promise<void>
  /** Forgets partitions that another member already owns, then tells the listener. */
  lose(partitions: readonly number[]): Promise<void>
}

/**
 * An empty share. The listener is not told that a partition is revoked or lost if it was never told of the assignment.
 */
export function memberShare(listener: ShareListener): MemberShare {
  const committed = new Map<number, number>()
  const unannounced = new Set<number>()
  const announced = (partitions: readonly number[]): number[] =>
    partitions.filter((partition) => committed.has(partition) && !unannounced.has(partition))
  const forget = (partitions: readonly number[]): void => {
    for (const partition of partitions) {
      committed.delete(partition)
      unannounced.delete(partition)
    }
  }
  return {
    committed,
    assign(offsets) {
      for (const [partition, offset] of offsets) {
        committed.set(partition, offset)
        unannounced.add(partition)
      }
    },
    async announce(member) {
      if (unannounced.size === 0) return
      await listener.onAssigned?.([...unannounced].toSorted(ascending), member)
      unannounced.clear()
    },
    async revoke(partitions) {
      await tellRevoked(listener, announced(partitions), false)
      forget(partitions)
    },
    async lose(partitions) {
      const toTell = announced(partitions)
      forget(partitions)
      await tellRevoked(listener, toTell, true)
    },
  }
}

async function tellRevoked(listener: ShareListener, partitions: number[], lost: boolean): Promise<void> {
  if (partitions.length > 0) await listener.onRevoked?.(partitions, lost)
}

function ascending(a: number, b: number): number {
  return a - b
}
