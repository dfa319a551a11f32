import type { DurationMs } from '../../table/transaction.ts'
import { stickyAssignment } from '../assignor.ts'
import { processState, thisProcess } from '../living-process.ts'
import { committedOffset, readRoster, rosterBytes, strike, writeRoster, type GroupSeat, type Roster } from './roster.ts'
import type { TopicStore } from './topic-store.ts'

/** What a member has to do or to hear before it goes on. */
export type ShareChange =
  /** Another has taken its place, and all its partitions, while it was stopped; it has a new place. */
  | { change: 'lost'; partitions: number[] }
  /** Another's by now: to be released when nothing of them is left to do. */
  | { change: 'surplus'; partitions: number[] }
  /** Its own from now on, with their committed offsets. */
  | { change: 'gained'; committed: Map<number, number> }

/** Others are looked at this often: a killed one tells nobody. */
const GLANCE: DurationMs = 200

/**
 * A member's place in a group, and the partitions it owns. Every member computes the same shares from the same roster, so
 * nobody leads: each gives up what is not its own any more, and takes what is free.
 */
export class GroupPlace {
  readonly #store: TopicStore
  readonly #seat: GroupSeat
  /** By partition that is its own. */
  readonly #epochs = new Map<number, number>()
  readonly #gone: (roster: Roster, self: number) => Set<number>
  #number: number
  /** The roster in which there was nothing to do. */
  #seen: Buffer | undefined
  #glance = AbortSignal.timeout(GLANCE)

  /** Takes a place. A process that is stopped for `session` loses it, and its partitions, to the others. */
  constructor(store: TopicStore, seat: GroupSeat, session: DurationMs) {
    this.#store = store
    this.#seat = seat
    this.#gone = watcher(session)
    this.#number = this.#change(admit)
  }

  /** By which a commit to the partition is known; undefined when it is not this member's. */
  epoch(partition: number): number | undefined {
    return this.#epochs.get(partition)
  }

  /**
   * The next change, or undefined when the share is settled as far as this member can do. Free partitions of its share,
   * and those of members that have died, are its own with this call. Costs one look at the roster while nothing changes.
   */
  next(): ShareChange | undefined {
    const [bytes, roster] = this.#store.shared.environment.read(
      () => [rosterBytes(this.#seat), readRoster(this.#seat)] as const,
    )
    if (this.#seen !== undefined && bytes?.equals(this.#seen) === true && !this.#glance.aborted) return undefined
    this.#glance = AbortSignal.timeout(GLANCE)
    if (!roster.members.some(({ number }) => number === this.#number)) {
      const partitions = [...this.#epochs.keys()]
      this.#epochs.clear()
      this.#number = this.#change(admit)
      return { change: 'lost', partitions }
    }
    const next = this.#step(roster)
    this.#seen = next === undefined ? bytes : undefined
    return next
  }

  release(partitions: readonly number[]): void {
    this.#change(({ owners }) => {
      for (const partition of partitions)
        if (owners[partition].epoch === this.#epochs.get(partition)) delete owners[partition].member
    })
    for (const partition of partitions) this.#epochs.delete(partition)
  }

  /** Gives up the place and all partitions. */
  leave(): void {
    this.#epochs.clear()
    this.#change((roster) => strike(roster, new Set([this.#number])))
  }

  #step(roster: Roster): ShareChange | undefined {
    const gone = this.#gone(roster, this.#number)
    strike(roster, gone)
    const share = this.#shareIn(roster)
    const surplus = [...this.#epochs.keys()].filter((partition) => !share.includes(partition))
    if (surplus.length > 0) return { change: 'surplus', partitions: surplus }
    if (gone.size === 0 && share.every((partition) => roster.owners[partition].member !== undefined)) return undefined
    return { change: 'gained', committed: this.#take(gone) }
  }

  /** Takes what is free of the share, that of those who are gone included. */
  #take(gone: ReadonlySet<number>): Map<number, number> {
    return this.#change((roster) => {
      strike(roster, gone)
      const free = this.#shareIn(roster).filter((partition) => roster.owners[partition].member === undefined)
      for (const partition of free) {
        const epoch = roster.owners[partition].epoch + 1
        roster.owners[partition] = { epoch, member: this.#number }
        this.#epochs.set(partition, epoch)
      }
      return new Map(free.map((partition) => [partition, committedOffset(this.#seat, partition)]))
    })
  }

  #shareIn(roster: Roster): number[] {
    return shareOf(roster, this.#seat.partitions, this.#number)
  }

  #change<T>(action: (roster: Roster) => T): T {
    const result = this.#store.shared.write(() => {
      const roster = readRoster(this.#seat)
      const outcome = action(roster)
      writeRoster(this.#seat, roster)
      return outcome
    })
    // Members wait at the bell of the topic, which may be another.
    this.#store.volumeOf(this.#store.require(this.#seat.topic)).bell.ring()
    return result
  }
}

function admit(roster: Roster): number {
  const number = roster.next++
  roster.members.push({ number, ...thisProcess() })
  return number
}

/** The partitions that are the member's by right, whoever has them now; none when it is not on the roster. */
function shareOf({ members, owners }: Roster, partitions: number, number: number): number[] {
  const holders = members.map((member) => ({
    id: String(member.number),
    holds: [...owners.keys()].filter((partition) => owners[partition].member === member.number),
  }))
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
    for (const number of patience.keys())
      if (!members.some((member) => member.number === number)) patience.delete(number)
    return gone
  }
}
