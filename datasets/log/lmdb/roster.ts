import type { Bytes } from '../../../configs/connections/lmdb.ts'
import type { ProcessMark } from '../../../configs/process/living-process.ts'
import { PartitionLost } from '../event-log.ts'

/**
 * A topic as a group consumes it. The LMDB database `groups` holds its members and committed offsets. Call every
 * function of this file within a transaction of that database's environment.
 */
export interface GroupTopic {
  groups: Bytes
  group: string
  topic: string
  partitions: number
}

export type Member = ProcessMark & { number: number }

/** The members of a group's topic and what each owns. Stored as one value, so that every change of it is seen whole. */
export interface Roster {
  /** The number of the next member. No number is given twice. */
  next: number
  members: Member[]
  /**
   * By partition. Every new owner gets a higher epoch, by which commits of the old owner are recognized and refused.
   */
  owners: { epoch: number; member?: number }[]
}

function rosterKey({ group, topic }: GroupTopic): Buffer {
  return Buffer.from(JSON.stringify(['members', group, topic]))
}

function offsetKey({ group, topic }: GroupTopic, partition: number): Buffer {
  return Buffer.from(JSON.stringify(['offset', group, topic, partition]))
}

function beatsKey({ group, topic }: GroupTopic): Buffer {
  return Buffer.from(JSON.stringify(['beats', group, topic]))
}

/** The roster as stored, to compare with one seen earlier. Undefined before the first member joined. */
export function rosterBytes(groupTopic: GroupTopic): Buffer | undefined {
  return groupTopic.groups.get(rosterKey(groupTopic))
}

export function readRoster(groupTopic: GroupTopic): Roster {
  const bytes = rosterBytes(groupTopic)
  if (bytes !== undefined) return JSON.parse(bytes.toString()) as Roster
  return { next: 1, members: [], owners: Array.from({ length: groupTopic.partitions }, () => ({ epoch: 0 })) }
}

export function writeRoster(groupTopic: GroupTopic, roster: Roster): void {
  void groupTopic.groups.put(rosterKey(groupTopic), Buffer.from(JSON.stringify(roster)))
}

/** Removes members from the roster. The partitions that they owned become free. */
export function removeMembers(roster: Roster, gone: ReadonlySet<number>): void {
  roster.members = roster.members.filter(({ number }) => !gone.has(number))
  for (const owner of roster.owners) if (owner.member !== undefined && gone.has(owner.member)) delete owner.member
}

/**
 * How often each member has shown that it lives, by its number. They stand beside the roster: it must not change with
 * every beat. A member that no other needs to hear does not beat.
 */
export function readBeats(groupTopic: GroupTopic): Record<string, number> {
  const bytes = groupTopic.groups.get(beatsKey(groupTopic))
  return bytes === undefined ? {} : (JSON.parse(bytes.toString()) as Record<string, number>)
}

/** Adds one to the member's beats, and drops those of members that have left. Call within a write transaction. */
export function addBeat(groupTopic: GroupTopic, number: number): void {
  const { members } = readRoster(groupTopic)
  const beats = readBeats(groupTopic)
  const kept = members.map((member) => [member.number, (beats[member.number] ?? 0) + Number(member.number === number)])
  void groupTopic.groups.put(beatsKey(groupTopic), Buffer.from(JSON.stringify(Object.fromEntries(kept))))
}

/**
 * Fences the owner of `epoch` out if another has replaced it. A commit calls this first in its transaction.
 *
 * @throws PartitionLost when the owner of `epoch` no longer owns the partition.
 */
export function assertOwner(groupTopic: GroupTopic, partition: number, epoch: number): void {
  const { owners, members } = readRoster(groupTopic)
  const owner = owners[partition]
  if (owner.epoch === epoch && owner.member !== undefined) return
  const newOwner = members.find(({ number }) => number === owner.member)
  const taker = newOwner === undefined ? 'another member' : `process ${newOwner.pid}`
  const { group, topic } = groupTopic
  throw new PartitionLost(
    `Partition ${partition} of topic "${topic}" was taken over by ${taker} of group "${group}": ` +
      'this one had been stopped for too long. ' +
      'Nothing of this commit was written; the new owner goes on from the committed offset.',
  )
}

/** The next offset to consume; 0 if the group never committed one. */
export function committedOffset(groupTopic: GroupTopic, partition: number): number {
  return groupTopic.groups.get(offsetKey(groupTopic, partition))?.readDoubleBE(0) ?? 0
}

/** Writes the next offset to consume. Call within a write transaction. */
export function commitOffset(groupTopic: GroupTopic, partition: number, nextOffset: number): void {
  const bytes = Buffer.allocUnsafeSlow(8)
  bytes.writeDoubleBE(nextOffset)
  void groupTopic.groups.put(offsetKey(groupTopic, partition), bytes)
}
