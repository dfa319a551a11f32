import { readFileSync } from 'node:fs'
import type { Bytes } from '../configs/lmdb.ts'
import { errorCode, UserError } from '../configs/user-error.ts'
import { GroupTaken } from './event-log.ts'

/**
 * A consumer group's ownership of a topic and its committed offsets, in the LMDB database `groups`. All functions but
 * `ownerIsAlive` must be called within a transaction of its environment.
 */
export interface GroupSeat {
  groups: Bytes
  group: string
  topic: string
}

/** Who owns a group's topic. Every new owner has a higher epoch, by which commits of the old one are known and refused. */
interface Owner {
  epoch: number
  state: 'held' | 'released'
  pid: number
  /** When the process started, as its system counts it: a pid alone may have been given to another. */
  started: string
}

function ownerKey({ group, topic }: GroupSeat): Buffer {
  return Buffer.from(JSON.stringify(['owner', group, topic]))
}

function offsetKey({ group, topic }: GroupSeat, partition: number): Buffer {
  return Buffer.from(JSON.stringify(['offset', group, topic, partition]))
}

function readOwner(seat: GroupSeat): Owner | undefined {
  const bytes = seat.groups.get(ownerKey(seat))
  return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as Owner)
}

function writeOwner(seat: GroupSeat, owner: Owner): void {
  void seat.groups.put(ownerKey(seat), Buffer.from(JSON.stringify(owner)))
}

/**
 * Makes this process the owner, in a write transaction.
 *
 * @returns the epoch that its commits must show.
 * @throws UserError when a living process is the owner.
 */
export function claim(seat: GroupSeat): number {
  const owner = readOwner(seat)
  if (owner?.state === 'held' && ownerIsAlive(owner)) {
    throw new GroupTaken(
      `Group "${seat.group}" already reads topic "${seat.topic}" in process ${owner.pid}. Stop that process (kill ${owner.pid}), or read as another group (--group NAME).`,
    )
  }
  const epoch = (owner?.epoch ?? 0) + 1
  writeOwner(seat, { epoch, state: 'held', pid: process.pid, started: processStart(process.pid) ?? '' })
  return epoch
}

/** @throws UserError when another owner has replaced the one of `epoch`. Called first in the transaction of a commit. */
export function assertOwner(seat: GroupSeat, epoch: number): void {
  const owner = readOwner(seat)
  if (owner?.epoch === epoch && owner.state === 'held') return
  throw new UserError(
    `Group "${seat.group}" on topic "${seat.topic}" was taken over by process ${owner?.pid ?? 'unknown'}; nothing was written by this one. Let one of the two run, or read as another group (--group NAME).`,
  )
}

/** Gives the ownership up, in a write transaction, unless another process has it already. The epoch is kept, so that it never repeats. */
export function release(seat: GroupSeat, epoch: number): void {
  const owner = readOwner(seat)
  if (owner?.epoch === epoch) writeOwner(seat, { ...owner, state: 'released' })
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

export function ownerIsAlive({ pid, started }: Pick<Owner, 'pid' | 'started'>): boolean {
  const start = processStart(pid)
  if (start !== undefined) return start === started
  try {
    process.kill(pid, 0)
    // Without /proc the pid is all there is to go by; with it, the process has just ended.
    return started === ''
  } catch (error) {
    return errorCode(error) === 'EPERM' && started === ''
  }
}

/** Start of a running process in clock ticks since boot (`/proc/PID/stat`, field 22); undefined when it has ended or the system has no /proc. */
export function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? undefined : fields[18]
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined
    throw error
  }
}
