import type { Bytes } from '../../../configs/connections/lmdb.ts'
import { PartitionLost } from '../event-log.ts'
import type { ProcessMark } from '../living-process.ts'

/** A group's topic, whose members and committed offsets are in the LMDB database `groups`. All functions here must be called within a transaction of its environment. */
export interface GroupSeat {
  groups: Bytes
  group: string
  topic: string
  partitions: number
}

/** Who is in a group's topic and who owns what of it: one value, so that every change of it is seen whole. */
export interface Roster {
  /** The number of the next member; none is given twice. */
  next: number
  members: (ProcessMark & { number: number })[]
  /** By partition. Every new owner has a higher epoch, by which commits of the old one are known and refused. */
  owners: { epoch: number; member?: number }[]
}

function rosterKey({ group, topic }: GroupSeat): Buffer {
  return Buffer.from(JSON.stringify(['members', group, topic]))
}

function offsetKey({ group, topic }: GroupSeat, partition: number): Buffer {
  return Buffer.from(JSON.stringify(['offset', group, topic, partition]))
}

/** The roster as it is stored, to be compared with one that was seen; undefined before the first member. */
export function rosterBytes(seat: GroupSeat): Buffer | undefined {
  return seat.groups.get(rosterKey(seat))
}

export function readRoster(seat: GroupSeat): Roster {
  const bytes = rosterBytes(seat)
  if (bytes !== undefined) return JSON.parse(bytes.toString()) as Roster
  return { next: 1, members: [], owners: Array.from({ length: seat.partitions }, () => ({ epoch: 0 })) }
}

export function writeRoster(seat: GroupSeat, roster: Roster): void {
  void seat.groups.put(rosterKey(seat), Buffer.from(JSON.stringify(roster)))
}

/** Takes members off the roster; what they owned is free. */
export function strike(roster: Roster, gone: ReadonlySet<number>): void {
  roster.members = roster.members.filter(({ number }) => !gone.has(number))
  for (const owner of roster.owners) if (owner.member !== undefined && gone.has(owner.member)) delete owner.member
}

/** @throws PartitionLost when another owner has replaced the one of `epoch`. Called first in the transaction of a commit. */
export function assertOwner(seat: GroupSeat, partition: number, epoch: number): void {
  const { owners, members } = readRoster(seat)
  const owner = owners[partition]
  if (owner.epoch === epoch && owner.member !== undefined) return
  const heir = members.find(({ number }) => number === owner.member)
  throw new PartitionLost(
    `Partition ${partition} of topic "${seat.topic}" was taken over by ${heir === undefined ? 'another member' : `process ${heir.pid}`} of group "${seat.group}": this one had been stopped for too long. Nothing of this commit was written; the new owner goes on from the committed offset.`,
  )
}

/** The next offset to consume; 0 when the group never committed one. */
export function committedOffset(seat: GroupSeat, partition: number): number {
  return seat.groups.get(offsetKey(seat, partition))?.readDoubleBE(0) ?? 0
}

/** Writes the next offset to consume, in a write transaction. */
export function commitOffset(seat: GroupSeat, partition: number, nextOffset: number): void {
  const bytes = Buffer.allocUnsafeSlow(8)
  bytes.writeDoubleBE(nextOffset)
  void seat.groups.put(offsetKey(seat, partition), bytes)
}
