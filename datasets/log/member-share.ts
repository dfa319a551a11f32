import type { GroupMember, ShareListener } from './event-log.ts'

/** The partitions of a group's member, and what its listener has been told of them. */
export interface MemberShare {
  /** The next offset to consume, as last committed, of each partition. */
  readonly committed: Map<number, number>
  /** Adds partitions, which the listener is still to hear of. */
  gain(committed: ReadonlyMap<number, number>): void
  /** Tells the listener what was added since. When it throws, it is told again at the next call. */
  announce(member: GroupMember): Promise<void>
  /** Has the listener hand partitions over; then they are this member's no longer. When it throws they still are. */
  giveUp(partitions: readonly number[]): Promise<void>
  /** Partitions that are another's already: forgotten first, then told. */
  lose(partitions: readonly number[]): Promise<void>
}

/** A share that is empty as yet. A partition that the listener never heard of goes as silently as it came. */
export function memberShare(listener: ShareListener): MemberShare {
  const committed = new Map<number, number>()
  const untold = new Set<number>()
  const known = (partitions: readonly number[]): number[] =>
    partitions.filter((partition) => committed.has(partition) && !untold.has(partition))
  const tell = async (partitions: number[], lost: boolean): Promise<void> => {
    if (partitions.length > 0) await listener.onRevoked?.(partitions, lost)
  }
  const forget = (partitions: readonly number[]): void => {
    for (const partition of partitions) {
      committed.delete(partition)
      untold.delete(partition)
    }
  }
  return {
    committed,
    gain(offsets) {
      for (const [partition, offset] of offsets) {
        committed.set(partition, offset)
        untold.add(partition)
      }
    },
    async announce(member) {
      if (untold.size === 0) return
      await listener.onAssigned?.(
        [...untold].toSorted((a, b) => a - b),
        member,
      )
      untold.clear()
    },
    async giveUp(partitions) {
      await tell(known(partitions), false)
      forget(partitions)
    },
    async lose(partitions) {
      const told = known(partitions)
      forget(partitions)
      await tell(told, true)
    },
  }
}
