import { isElsewhere, processState, thisProcess } from '../../../configs/process/living-process.ts'
import type { DurationMs } from '../../table/transaction.ts'
import { stickyAssignment } from '../assignor.ts'
import {
  addBeat,
  committedOffset,
  readBeats,
  readRoster,
  removeMembers,
  rosterBytes,
  writeRoster,
  type GroupTopic,
  type Member,
  type Roster,
} from './roster.ts'
import type { TopicStore } from './topic-store.ts'

/** What a member must do, or must be told, before it continues. */
export type ShareChange =
  /** While this member was stopped, others removed it from the group and took its partitions. It has joined again. */
  | { change: 'lost'; partitions: number[] }
  /** These now belong to other members. Release them when no work on them is left. */
  | { change: 'revoked'; partitions: number[] }
  /** These belong to this member from now on; with their committed offsets. */
  | { change: 'assigned'; committed: Map<number, number> }

/** How often a member checks on the others: a killed process tells nobody. */
const CHECK_INTERVAL: DurationMs = 200
/** Beats of a member in a session. */
const BEATS = 5

/**
 * A member's membership in a group, and the partitions it owns. Every member computes the same shares from the same
 * roster, so no member leads. Each gives up what is no longer in its share and takes what is free.
 */
export class Membership {
  readonly #store: TopicStore
  readonly #groupTopic: GroupTopic
  /** The epoch of each partition that this member owns. */
  readonly #epochs = new Map<number, number>()
  readonly #gone: (roster: Roster, self: number) => Set<number>
  #number: number
  /** The last roster in which this member found nothing to do. */
  #settled: Buffer | undefined
  #nextCheck = AbortSignal.timeout(CHECK_INTERVAL)
  readonly #heart: NodeJS.Timeout

  /** Joins the group. If this process is stopped for `session`, the others remove it and take its partitions. */
  constructor(store: TopicStore, groupTopic: GroupTopic, session: DurationMs) {
    this.#store = store
    this.#groupTopic = groupTopic
    this.#gone = departureWatcher(session, () => store.shared.environment.read(() => readBeats(groupTopic)))
    this.#number = this.#change(addMember)
    this.#heart = setInterval(() => this.#beat(), session / BEATS).unref()
  }

  /** The epoch that a commit to the partition must show. Undefined when this member does not own the partition. */
  epoch(partition: number): number | undefined {
    return this.#epochs.get(partition)
  }

  /**
   * The next change, or undefined when this member can do no more to settle its share. Takes the partitions of its
   * share that are free, or whose owner has died. While nothing changes, a call costs one read of the roster.
   */
  next(): ShareChange | undefined {
    const [bytes, roster] = this.#store.shared.environment.read(
      () => [rosterBytes(this.#groupTopic), readRoster(this.#groupTopic)] as const,
    )
    const unchanged = this.#settled !== undefined && bytes?.equals(this.#settled) === true
    if (unchanged && !this.#nextCheck.aborted) return undefined
    this.#nextCheck = AbortSignal.timeout(CHECK_INTERVAL)
    if (!roster.members.some(({ number }) => number === this.#number)) {
      const partitions = [...this.#epochs.keys()]
      this.#epochs.clear()
      this.#number = this.#change(addMember)
      return { change: 'lost', partitions }
    }
    const next = this.#step(roster)
    this.#settled = next === undefined ? bytes : undefined
    return next
  }

  release(partitions: readonly number[]): void {
    this.#change(({ owners }) => {
      for (const partition of partitions) {
        if (owners[partition].epoch === this.#epochs.get(partition)) delete owners[partition].member
      }
    })
    for (const partition of partitions) this.#epochs.delete(partition)
  }

  /** Leaves the group and gives up all partitions. */
  leave(): void {
    clearInterval(this.#heart)
    this.#epochs.clear()
    this.#change((roster) => removeMembers(roster, new Set([this.#number])))
  }

  /** Shows members of other places that this one lives. They cannot look for its process. */
  #beat(): void {
    const { shared } = this.#store
    try {
      const { members } = shared.environment.read(() => readRoster(this.#groupTopic))
      if (!members.some(isElsewhere)) return
      // Without the bell: nobody waits for a beat.
      shared.environment.write(() => addBeat(this.#groupTopic, this.#number))
    } catch {
      // A full disk, or a file that is gone: the member's next commit meets the same and tells it.
    }
  }

  #step(roster: Roster): ShareChange | undefined {
    const gone = this.#gone(roster, this.#number)
    removeMembers(roster, gone)
    const share = this.#shareIn(roster)
    const revoked = [...this.#epochs.keys()].filter((partition) => !share.includes(partition))
    if (revoked.length > 0) return { change: 'revoked', partitions: revoked }
    if (gone.size === 0 && share.every((partition) => roster.owners[partition].member !== undefined)) return undefined
    return { change: 'assigned', committed: this.#takeFree(gone) }
  }

  /** Takes the partitions of the share that are free, including those of members that are gone. */
  #takeFree(gone: ReadonlySet<number>): Map<number, number> {
    return this.#change((roster) => {
      removeMembers(roster, gone)
      const free = this.#shareIn(roster).filter((partition) => roster.owners[partition].member === undefined)
      for (const partition of free) {
        const epoch = roster.owners[partition].epoch + 1
        roster.owners[partition] = { epoch, member: this.#number }
        this.#epochs.set(partition, epoch)
      }
      return new Map(free.map((partition) => [partition, committedOffset(this.#groupTopic, partition)]))
    })
  }

  #shareIn(roster: Roster): number[] {
    return shareOf(roster, this.#groupTopic.partitions, this.#number)
  }

  #change<T>(action: (roster: Roster) => T): T {
    const result = this.#store.shared.write(() => {
      const roster = readRoster(this.#groupTopic)
      const outcome = action(roster)
      writeRoster(this.#groupTopic, roster)
      return outcome
    })
    // Members wait at the topic's bell, and the topic may lie in another volume than the groups.
    this.#store.volumeOf(this.#store.require(this.#groupTopic.topic)).bell.ring()
    return result
  }
}

/** Adds this process to the roster. @returns the new member's number. */
function addMember(roster: Roster): number {
  const number = roster.next++
  roster.members.push({ number, ...thisProcess() })
  return number
}

/** The partitions that the member should own, whoever owns them now; none when it is not on the roster. */
function shareOf({ members, owners }: Roster, partitions: number, number: number): number[] {
  const holders = members.map((member) => ({
    id: String(member.number),
    holds: [...owners.keys()].filter((partition) => owners[partition].member === member.number),
  }))
  return stickyAssignment(holders, partitions).get(String(number)) ?? []
}

/**
 * Tells which other members are gone: those whose process has ended, and those whose process was found stopped at every
 * check for the length of a session. A process of another pid namespace, or of the time before a reboot, cannot be
 * looked at: it is gone when it has not beaten for a session.
 */
function departureWatcher(
  session: DurationMs,
  readBeats: () => Record<string, number>,
): (roster: Roster, self: number) => Set<number> {
  const sessions = new Map<number, AbortSignal>()
  const heard = new Map<number, number>()
  const stateOf = ({ number, ...mark }: Member, beats: Record<string, number>): ReturnType<typeof processState> => {
    if (!isElsewhere(mark)) return processState(mark)
    const beat = beats[number] ?? 0
    const silent = heard.get(number) === beat
    heard.set(number, beat)
    return silent ? 'stopped' : 'running'
  }
  return ({ members }, self) => {
    const gone = new Set<number>()
    const beats = members.some(isElsewhere) ? readBeats() : {}
    for (const member of members) {
      const { number } = member
      const state = number === self ? 'running' : stateOf(member, beats)
      if (state === 'running') sessions.delete(number)
      else if (state === 'ended') gone.add(number)
      else if (!sessions.has(number)) sessions.set(number, AbortSignal.timeout(session))
      if (sessions.get(number)?.aborted === true) gone.add(number)
    }
    for (const known of [sessions, heard]) {
      for (const number of known.keys()) {
        if (!members.some((member) => member.number === number)) known.delete(number)
      }
    }
    return gone
  }
}
