import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, describeGroupsV5, heartbeatV4, joinGroupV7, leaveGroupV5, offsetFetchV8, syncGroupV5, Writer } from '@platformatic/kafka'
import { UserError } from '../configs/user-error.ts'
import { ownerIsAlive } from './group.ts'
import { GroupTaken } from './event-log.ts'
import type { KafkaCluster } from './kafka-cluster.ts'
import { kafkaErrors } from './kafka-error.ts'
import { SECOND, type DurationMs } from './transaction.ts'

/** A group's topic, by their names without the log's prefix. */
export interface KafkaSeat {
  cluster: KafkaCluster
  group: string
  topic: string
  partitions: number
}

/** This process's place in a Kafka consumer group, held by heartbeats. */
export interface Membership extends AsyncDisposable {
  memberId: string
  generation: number
  /** Why the place was lost, when it was. */
  lost: unknown
  /**
   * Takes the place again, after the broker has forgotten this member: it was silent for too long, or the broker came back from
   * a crash and waited for its members while it could not be reached yet. False when somebody else has it. Who had it in the
   * meantime and left again has fenced our transactional id, so that nothing is written over what he wrote.
   */
  retake(): Promise<boolean>
}

const PROTOCOL = 'fd-one-owner'

/** Kafka's id of the group. A group of this port has an owner a topic, so the topic is part of it; it is the transactional id, too. */
export function groupId({ cluster, group, topic }: KafkaSeat): string {
  return `${cluster.location.prefix}${group}/${topic}`
}

/**
 * Takes the group's topic. Kafka hears of a killed process only when its session ends, so a member of this host whose
 * process has ended is shown out at once, and one of another host is given its session's time.
 *
 * @throws UserError when a living process has it.
 */
export async function takeSeat(seat: KafkaSeat): Promise<Membership> {
  await awaitVacancy(seat)
  let retaking: Promise<boolean> | undefined
  const membership: Membership = {
    memberId: '', generation: -1, lost: undefined,
    // The heartbeat and a commit may ask at the same time.
    retake: () => (retaking ??= enterAgain(seat, membership).finally(() => (retaking = undefined))),
    [Symbol.asyncDispose]: async () => {},
  }
  if (!(await enter(seat, membership))) {
    await leave(seat, membership.memberId)
    throw await taken(seat)
  }
  const stop = new AbortController()
  const beating = beat(seat, membership, stop.signal)
  membership[Symbol.asyncDispose] = async () => {
    if (stop.signal.aborted) return
    stop.abort()
    membership.lost ??= new UserError(`Group "${seat.group}" on topic "${seat.topic}" was left by this process; nothing is written by it any more.`)
    await beating
    // Asked once: a place that cannot be given up now is free when its session ends.
    await Promise.allSettled([seat.cluster.once({ to: 'group', key: groupId(seat) }, leaveRequest(seat, membership.memberId))])
  }
  return membership
}

async function membersOf(seat: KafkaSeat): Promise<{ memberId: string; clientId: string; clientHost: string }[]> {
  const { cluster } = seat
  const id = groupId(seat)
  const { groups } = await cluster.call({ to: 'group', key: id }, (connection) => describeGroupsV5.api.async(connection, [id], false))
  return groups[0].members
}

async function awaitVacancy(seat: KafkaSeat): Promise<void> {
  // A member of another host cannot be looked at, only waited for.
  const session = AbortSignal.timeout(seat.cluster.location.session * 1.5)
  for (;;) {
    const members = await membersOf(seat)
    const dead = members.filter((member) => processOf(member) === 'dead')
    for (const { memberId } of dead) await leave(seat, memberId)
    if (members.length === dead.length) return
    if (session.aborted || members.some((member) => processOf(member) === 'alive')) throw await taken(seat)
    await sleep(250)
  }
}

function processOf({ clientId }: { clientId: string }): 'alive' | 'dead' | 'elsewhere' {
  const [, host, pid, started] = /^fd (\S+) (\d+) (\d*)$/.exec(clientId) ?? []
  if (host !== hostname()) return 'elsewhere'
  return ownerIsAlive({ pid: Number(pid), started }) ? 'alive' : 'dead'
}

async function taken(seat: KafkaSeat): Promise<GroupTaken> {
  return new GroupTaken(`Group "${seat.group}" already reads topic "${seat.topic}" in ${await ownerOf(seat)}. Stop that process, or read as another group (--group NAME).`)
}

/** Who has the group's topic now, for messages: `process 4711 on host1`. */
async function ownerOf(seat: KafkaSeat): Promise<string> {
  const owner = (await membersOf(seat)).at(0)
  const [, host, pid] = /^fd (\S+) (\d+) /.exec(owner?.clientId ?? '') ?? []
  if (pid !== undefined) return `process ${pid} on ${host}`
  return owner === undefined ? 'another process' : `client "${owner.clientId}" on ${owner.clientHost}`
}

/** Joins the group's next generation. @returns whether this process has the topic in it. */
async function enter(seat: KafkaSeat, membership: Membership): Promise<boolean> {
  const { cluster, topic, partitions } = seat
  const { session } = cluster.location
  const id = groupId(seat)
  const protocols = [{ name: PROTOCOL, metadata: subscription(cluster.location.prefix + topic) }]
  const join = () =>
    cluster.call({ to: 'group', key: id }, (connection) => joinGroupV7.api.async(connection, id, session, session, membership.memberId, null, 'consumer', protocols), `group ${id}`)
  const joined = await join().catch((error: unknown) => {
    // The first answer only gives the id to join with.
    membership.memberId = givenMemberId(error)
    return join()
  })
  membership.memberId = joined.memberId
  membership.generation = joined.generationId
  // One member owns all: the leader, who is the one that was there first.
  const all = assignment(cluster.location.prefix + topic, partitions)
  const assignments = joined.members.map(({ memberId }) => ({ memberId, assignment: memberId === joined.leader ? all : assignment(cluster.location.prefix + topic, 0) }))
  await cluster.call(
    { to: 'group', key: id },
    (connection) => syncGroupV5.api.async(connection, id, joined.generationId, joined.memberId, null, 'consumer', PROTOCOL, joined.leader === joined.memberId ? assignments : []),
    `group ${id}`,
  )
  return joined.leader === joined.memberId
}

async function enterAgain(seat: KafkaSeat, membership: Membership): Promise<boolean> {
  // Another call may have done it already.
  const members = await membersOf(seat)
  if (members.some(({ memberId }) => memberId === membership.memberId)) return true
  if (members.some((member) => processOf(member) !== 'dead')) return false
  membership.memberId = ''
  if (await enter(seat, membership)) return true
  await leave(seat, membership.memberId)
  return false
}

/** @throws the error when it is not the one that gives an id. */
function givenMemberId(error: unknown): string {
  if (error instanceof AggregateError && kafkaErrors(error).includes('MEMBER_ID_REQUIRED') && 'response' in error) {
    const response = error.response as { memberId?: string }
    if (response.memberId !== undefined) return response.memberId
  }
  throw error
}

/** What the member reads, as Kafka's own tools understand it (ConsumerProtocolSubscription, version 0). */
function subscription(topic: string): Buffer {
  return Writer.create().appendInt16(0).appendArray([topic], (w) => void w.appendString(topic, false), false, false).appendBytes(null, false).buffer
}

/** ConsumerProtocolAssignment, version 0: the topic's first `partitions` partitions. */
function assignment(topic: string, partitions: number): Buffer {
  const numbers = Array.from({ length: partitions }, (_, number) => number)
  const topics = partitions === 0 ? [] : [topic]
  return Writer.create()
    .appendInt16(0)
    .appendArray(topics, (w) => void w.appendString(topic, false).appendArray(numbers, (v, number) => void v.appendInt32(number), false, false), false, false)
    .appendBytes(null, false).buffer
}

/** Shows that the process lives until `signal` aborts, and takes part in rebalances; sets `lost` when the place is gone. */
async function beat(seat: KafkaSeat, membership: Membership, signal: AbortSignal): Promise<void> {
  const { cluster } = seat
  const id = groupId(seat)
  const every: DurationMs = cluster.location.session / 4
  while (!signal.aborted && membership.lost === undefined) {
    await Promise.allSettled([sleep(every, undefined, { signal, ref: false })])
    if (signal.aborted) return
    try {
      await cluster.call({ to: 'group', key: id }, (connection) => heartbeatV4.api.async(connection, id, membership.generation, membership.memberId, null), `group ${id}`)
    } catch (error) {
      const again = isForgotten(error) ? membership.retake() : kafkaErrors(error).includes('REBALANCE_IN_PROGRESS') ? enter(seat, membership) : Promise.resolve(false)
      if (await again.catch(() => false)) continue
      if (!signal.aborted) membership.lost = kafkaErrors(error).length > 0 ? await takenOver(seat, error) : error
    }
  }
}

/** Whether the broker does not know the member (any longer). */
export function isForgotten(error: unknown): boolean {
  return kafkaErrors(error).includes('UNKNOWN_MEMBER_ID')
}

/** The error of a member that has been replaced, or was silent for longer than its session. */
export async function takenOver(seat: KafkaSeat, cause: unknown): Promise<UserError> {
  const { group, topic, cluster } = seat
  const owner = await ownerOf(seat).catch(() => 'another process')
  return new UserError(
    `Group "${group}" on topic "${topic}" was taken over by ${owner}, or this one was silent for ${cluster.location.session / SECOND} s; nothing was written by it since. Let one of the two run, or read as another group (--group NAME).`,
    { cause },
  )
}

function leaveRequest(seat: KafkaSeat, memberId: string): (connection: Connection) => Promise<unknown> {
  return (connection) => leaveGroupV5.api.async(connection, groupId(seat), [{ memberId, groupInstanceId: null, reason: null }])
}

async function leave(seat: KafkaSeat, memberId: string): Promise<void> {
  try {
    await seat.cluster.call({ to: 'group', key: groupId(seat) }, leaveRequest(seat, memberId))
  } catch (error) {
    // Out already: that is all that was wanted.
    if (!kafkaErrors(error).includes('UNKNOWN_MEMBER_ID')) throw error
  }
}

/** The group's next offset to consume by partition, 0 where none was committed. Waits for transactions that are being closed. */
export async function committedOffsets(seat: KafkaSeat): Promise<Map<number, number>> {
  const { cluster, topic, partitions } = seat
  const id = groupId(seat)
  const numbers = Array.from({ length: partitions }, (_, number) => number)
  const request = [{ groupId: id, memberId: null, memberEpoch: -1, topics: [{ name: cluster.location.prefix + topic, partitionIndexes: numbers }] }]
  const { groups } = await cluster.call({ to: 'group', key: id }, (connection) => offsetFetchV8.api.async(connection, request, true))
  const found = groups[0].topics[0]?.partitions ?? []
  return new Map(numbers.map((number) => [number, Math.max(0, Number(found.find(({ partitionIndex }) => partitionIndex === number)?.committedOffset ?? 0n))]))
}
