import { hostname } from 'node:os'
import {
  type Connection,
  describeGroupsV5,
  heartbeatV4,
  joinGroupV7,
  leaveGroupV5,
  offsetFetchV8,
  syncGroupV5,
} from '@platformatic/kafka'
import { cooperativeAssignment, type Holder } from '../assignor.ts'
import { pidNamespace, processState } from '../living-process.ts'
import type { KafkaCluster, Request } from './cluster.ts'
import { kafkaErrors } from './error.ts'
import { decodeAssignment, decodeOwned, encodeAssignment, encodeSubscription } from './protocol.ts'
import type { KafkaTopics } from './topics.ts'

/** A group's topic, by their names without the log's prefix, and what a member of it needs to reach them. */
export interface KafkaSeat {
  cluster: KafkaCluster
  topics: KafkaTopics
  group: string
  topic: string
  /** The member's own: joining waits at the broker for the other members, and would hold up requests behind it. */
  lane: string
}

/** A member as the group coordinator knows it. */
export interface Standing {
  /** Empty before the first join. */
  memberId: string
  generation: number
}

/** Who may not share a group with whom is told by this name. */
const PROTOCOL = 'fd-cooperative-sticky'

/** Kafka's id of the group. A group of this port has a topic, so the topic is part of it. */
export function groupId({ cluster, group, topic }: Pick<KafkaSeat, 'cluster' | 'group' | 'topic'>): string {
  return `${cluster.location.prefix}${group}/${topic}`
}

function topicName({ cluster, topic }: KafkaSeat): string {
  return cluster.location.prefix + topic
}

function ask<T>(seat: KafkaSeat, request: Request<T>, lane?: string): Promise<T> {
  return seat.cluster.call({ to: 'group', key: groupId(seat) }, request, lane)
}

/**
 * Takes part in one rebalance, which waits for all other members: joins the next generation, and, as its leader, divides
 * the partitions that the topic has now.
 *
 * @param standing brought up to date as soon as the coordinator has answered
 * @param owned the partitions this member has
 * @returns those it is to have; what is missing of `owned` it must give up and then join again.
 */
export async function rebalance(seat: KafkaSeat, standing: Standing, owned: readonly number[]): Promise<number[]> {
  const id = groupId(seat)
  const { session } = seat.cluster.location
  const protocols = [{ name: PROTOCOL, metadata: encodeSubscription(topicName(seat), owned) }]
  // A living member that does not poll, busy with a batch, holds the others up for as long as three sessions.
  const join = (): ReturnType<typeof joinGroupV7.api.async> =>
    ask(
      seat,
      (connection) =>
        joinGroupV7.api.async(connection, id, session, 3 * session, standing.memberId, null, 'consumer', protocols),
      seat.lane,
    )
  const joined = await join().catch((error: unknown) => {
    // The first answer only gives the id to join with.
    standing.memberId = givenMemberId(error)
    return join()
  })
  standing.memberId = joined.memberId
  standing.generation = joined.generationId
  // Partitions may have been added, and a coordinator may have moved.
  seat.cluster.forget()
  const members = joined.members.map(({ memberId, metadata }) => ({
    id: memberId,
    holds: decodeOwned(metadata, topicName(seat)),
  }))
  const assignments = joined.memberId === joined.leader ? await divide(seat, members) : []
  const { assignment } = await ask(
    seat,
    (connection) =>
      syncGroupV5.api.async(
        connection,
        id,
        joined.generationId,
        joined.memberId,
        null,
        'consumer',
        PROTOCOL,
        assignments,
      ),
    seat.lane,
  )
  return decodeAssignment(assignment, topicName(seat))
}

async function divide(seat: KafkaSeat, members: Holder[]): Promise<{ memberId: string; assignment: Buffer }[]> {
  const shares = cooperativeAssignment(members, await seat.topics.require(seat.topic))
  return [...shares].map(([memberId, partitions]) => ({
    memberId,
    assignment: encodeAssignment(topicName(seat), partitions),
  }))
}

/** @throws the error when it is not the one that gives an id. */
function givenMemberId(error: unknown): string {
  if (error instanceof AggregateError && kafkaErrors(error).includes('MEMBER_ID_REQUIRED') && 'response' in error) {
    const response = error.response as { memberId?: string }
    if (response.memberId !== undefined) return response.memberId
  }
  throw error
}

/** Shows that the member lives. @throws what the coordinator answers: that a rebalance is in progress, or the member none of its any more. */
export async function heartbeat(seat: KafkaSeat, { memberId, generation }: Standing): Promise<void> {
  await ask(seat, (connection) => heartbeatV4.api.async(connection, groupId(seat), generation, memberId, null))
}

/**
 * Shows members of this host out whose process has ended: Kafka hears of a killed process only when its session ends.
 *
 * @returns whether there was one.
 */
export async function showOutTheDead(seat: KafkaSeat): Promise<boolean> {
  const id = groupId(seat)
  const { groups } = await ask(seat, (connection) => describeGroupsV5.api.async(connection, [id], false))
  const dead = groups[0].members.filter(hasEnded)
  for (const { memberId } of dead) await leave(seat, memberId)
  return dead.length > 0
}

/** Whether a member's process has, as far as it can be seen from here: its name (`kafka-links.ts`) tells the host and the pid namespace, for which alone the pid stands. */
function hasEnded({ clientId }: { clientId: string }): boolean {
  const [, host, pid, started, namespace] = /^fd (\S+) (\d+) (\d*) (\d*)$/.exec(clientId) ?? []
  return host === hostname() && namespace === pidNamespace() && processState({ pid: Number(pid), started }) === 'ended'
}

/** The request by which a member leaves, for one who asks once. */
export function leaveRequest(seat: KafkaSeat, memberId: string): (connection: Connection) => Promise<unknown> {
  return (connection) =>
    leaveGroupV5.api.async(connection, groupId(seat), [{ memberId, groupInstanceId: null, reason: null }])
}

export async function leave(seat: KafkaSeat, memberId: string): Promise<void> {
  try {
    await ask(seat, leaveRequest(seat, memberId))
  } catch (error) {
    // Out already: that is all that was wanted.
    if (!kafkaErrors(error).includes('UNKNOWN_MEMBER_ID')) throw error
  }
}

/** The group's next offset to consume by partition, 0 where none was committed. Waits for transactions that are being closed. */
export async function committedOffsets(seat: KafkaSeat, partitions: readonly number[]): Promise<Map<number, number>> {
  const topics = [{ name: topicName(seat), partitionIndexes: [...partitions] }]
  const request = [{ groupId: groupId(seat), memberId: null, memberEpoch: -1, topics }]
  const { groups } = await ask(seat, (connection) => offsetFetchV8.api.async(connection, request, true))
  const found = groups[0].topics[0]?.partitions ?? []
  return new Map(
    partitions.map((number) => [
      number,
      Math.max(0, Number(found.find(({ partitionIndex }) => partitionIndex === number)?.committedOffset ?? 0n)),
    ]),
  )
}
