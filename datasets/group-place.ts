import { stickyAssignment } from './assignor.ts'
import { committedOffset, readRoster, rosterBytes, strike, writeRoster, type GroupSeat, type Roster } from './group.ts'
import { processState, thisProcess } from './living-process.ts'
import type { TopicStore } from './topic-store.ts'
import type { DurationMs } from './transaction.ts'

/** What a member has to do or to hear before it goes on. */
export type ShareChange =
  /** Another has taken its place, and all its partitions, while it was stopped; it has a new place. */
  | { change: 'lost'; partitions: number[] }
  /** Another's by now: to be released when nothing of them is left to do. */
  | { change: 'surplus'; partitions: number[] }
  /** Its own from now on, with their committed offsets. */
  | { change: 'gained'; committed: Map<number, number> }

/** A member's place in a group, and the partitions it owns. */
export interface GroupPlace {
  /** By which a commit to the partition is known; undefined when it is not this member's. */
  epoch(partition: number): number | undefined
  /**
   * The next change, or undefined when the share is settled as far as this member can do. Free partitions of its share,
   * and those of members that have died, are its own with this call. Costs one look at the roster while nothing changes.
   */
  next(): ShareChange | undefined
  release(partitions: readonly number[]): void
  /** Gives up the place and all partitions. */
  leave(): void
}

/** Others are looked at this often: a killed one tells nobody. */
const GLANCE: DurationMs = 200

/**
 * Takes a place in the group. Every member computes the same shares from the same roster, so nobody leads: each gives up
 * what is not its own any more, and takes what is free.
 *
 * @param session how long a member's process may be stopped before the others divide its partitions
 */
export function takePlace(store: TopicStore, seat: GroupSeat, session: DurationMs): GroupPlace {
  const epochs = new Map<number, number>()
  const watch = watcher(session)
  let seen: Buffer | undefined
  let glance = AbortSignal.timeout(GLANCE)
  const change = <T>(action: (roster: Roster) => T): T => {
    const result = store.shared.write(() => {
      const roster = readRoster(seat)
      const outcome = action(roster)
      writeRoster(seat, roster)
      return outcome
    })
    // Members wait at the bell of the topic, which may be another.
    store.volumeOf(store.require(seat.topic)).bell.ring()
    return result
  }
  const enter = (): number => change(admit)
  let number = enter()
  const take = (gone: ReadonlySet<number>): Map<number, number> =>
    change((roster) => {
      strike(roster, gone)
      const free = shareOf(roster, seat.partitions, number).filter((partition) => roster.owners[partition].member === undefined)
      for (const partition of free) epochs.set(partition, own(roster, partition, number))
      return new Map(free.map((partition) => [partition, committedOffset(seat, partition)]))
    })
  const step = (roster: Roster): ShareChange | undefined => {
    const gone = watch(roster, number)
    strike(roster, gone)
    const share = shareOf(roster, seat.partitions, number)
    const surplus = [...epochs.keys()].filter((partition) => !share.includes(partition))
    if (surplus.length > 0) return { change: 'surplus', partitions: surplus }
    if (gone.size === 0 && share.every((partition) => roster.owners[partition].member !== undefined)) return undefined
    return { change: 'gained', committed: take(gone) }
  }
  return {
    epoch: (partition) => epochs.get(partition),
    next() {
      const [bytes, roster] = store.shared.environment.read(() => [rosterBytes(seat), readRoster(seat)] as const)
      if (seen !== undefined && bytes?.equals(seen) === true && !glance.aborted) return undefined
      glance = AbortSignal.timeout(GLANCE)
      if (!roster.members.some((member) => member.number === number)) {
        const partitions = [...epochs.keys()]
        epochs.clear()
        number = enter()
        return { change: 'lost', partitions }
      }
      const next = step(roster)
      seen = next === undefined ? bytes : undefined
      return next
    },
    release(partitions) {
      change((roster) => {
        for (const partition of partitions) if (roster.owners[partition].epoch === epochs.get(partition)) delete roster.owners[partition].member
      })
      for (const partition of partitions) epochs.delete(partition)
    },
    leave() {
      epochs.clear()
      change((roster) => strike(roster, new Set([number])))
    },
  }
}

function admit(roster: Roster): number {
  const number = roster.next++
  roster.members.push({ number, ...thisProcess() })
  return number
}

function own(roster: Roster, partition: number, number: number): number {
  const epoch = roster.owners[partition].epoch + 1
  roster.owners[partition] = { epoch, member: number }
  return epoch
}

/** The partitions that are the member's by right, whoever has them now; none when it is not on the roster. */
function shareOf({ members, owners }: Roster, partitions: number, number: number): number[] {
  const holders = members.map((member) => ({ id: String(member.number), holds: [...owners.keys()].filter((partition) => owners[partition].member === member.number) }))
  return stickyAssignment(holders, partitions).get(String(number)) ?? []
}

/** Tells which other members are gone: their process has ended, or was found stopped at every look for the length of a session. */
function watcher(session: DurationMs): (roster: Roster, self: number) => Set<number> {
  const patience = new Map<number, AbortSignal>()
  return ({ members }, self) => {
    const gone = new Set<number>()
    for (const { number, ...mark } of members) {
      const state = number === self ? 'running' : processState(mark)
      if (state === 'running') patience.delete(number)
      else if (state === 'ended') gone.add(number)
      else if (!patience.has(number)) patience.set(number, AbortSignal.timeout(session))
      if (patience.get(number)?.aborted === true) gone.add(number)
    }
    for (const number of patience.keys()) if (!members.some((member) => member.number === number)) patience.delete(number)
    return gone
  }
}
