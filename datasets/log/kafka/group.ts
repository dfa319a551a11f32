import {
  type Connection,
  describeGroupsV5,
  heartbeatV4,
  joinGroupV7,
  leaveGroupV5,
  offsetFetchV8,
  syncGroupV5,
} from '@platformatic/kafka'
import { hostedState } from '../../../configs/process/living-process.ts'
import { cooperativeAssignment, type Holder } from '../assignor.ts'
import type { KafkaCluster, Request } from './cluster.ts'
import { kafkaErrors } from './error.ts'
import { decodeAssignment, decodeOwned, encodeAssignment, encodeSubscription } from './protocol.ts'
import type { KafkaTopics } from './topics.ts'

/** A topic as a group consumes it (both names without the log's prefix), and what a member needs to reach them. */
export interface GroupTopic {
  cluster: KafkaCluster
  topics: KafkaTopics
  group: string
  topic: string
  /** The member's own lane: a join waits at the broker for the other members, and would block requests behind it. */
  lane: string
}

/** A member as the group coordinator knows it. */
export interface MemberIdentity {
  /** Empty before the first join. */
  memberId: string
  generation: number
}

type JoinResponse = Awaited<ReturnType<typeof joinGroupV7.api.async>>
type SyncResponse = Awaited<ReturnType<typeof syncGroupV5.api.async>>
/** What the leader of a generation sends the coordinator: each member's partitions. */
type MemberAssignments = { memberId: string; assignment: Buffer }[]

const PROTOCOL_TYPE = 'consumer'
/** The name of our assignor. Kafka refuses a member that does not know the assignor of the others. */
const PROTOCOL = 'fd-cooperative-sticky'

/** Kafka's id of the group. A group of this port consumes one topic, so the topic is part of the id. */
export function groupId({ cluster, group, topic }: Pick<GroupTopic, 'cluster' | 'group' | 'topic'>): string {
  return `${cluster.location.prefix}${group}/${topic}`
}

function topicName({ cluster, topic }: GroupTopic): string {
  return cluster.location.prefix + topic
}

function ask<T>(groupTopic: GroupTopic, request: Request<T>, lane?: string): Promise<T> {
  return groupTopic.cluster.call({ to: 'group', key: groupId(groupTopic) }, request, lane)
}

/**
 * Takes part in one rebalance, which waits for all other members: joins the next generation and, as its leader, assigns
 * the partitions that the topic has now.
 *
 * @param identity updated as soon as the coordinator has answered.
 * @param owned the partitions that this member owns.
 * @returns the partitions assigned to it. It must revoke those of `owned` that are missing, and then join again.
 */
export async function rebalance(
  groupTopic: GroupTopic,
  identity: MemberIdentity,
  owned: readonly number[],
): Promise<number[]> {
  const joined = await joinGeneration(groupTopic, identity, owned)
  identity.memberId = joined.memberId
  identity.generation = joined.generationId
  // Partitions may have been added, and a coordinator may have moved.
  groupTopic.cluster.forget()
  const members = joined.members.map(({ memberId, metadata }) => ({
    id: memberId,
    holds: decodeOwned(metadata, topicName(groupTopic)),
  }))
  const assignments = joined.memberId === joined.leader ? await assign(groupTopic, members) : []
  const { assignment } = await syncGeneration(groupTopic, identity, assignments)
  return decodeAssignment(assignment, topicName(groupTopic))
}

async function joinGeneration(
  groupTopic: GroupTopic,
  identity: MemberIdentity,
  owned: readonly number[],
): Promise<JoinResponse> {
  const id = groupId(groupTopic)
  const { session } = groupTopic.cluster.location
  // A member that runs but does not poll, busy with a batch, holds the others up for at most this long.
  const rebalanceTimeout = 3 * session
  const protocols = [{ name: PROTOCOL, metadata: encodeSubscription(topicName(groupTopic), owned) }]
  const request: Request<JoinResponse> = (connection) =>
    joinGroupV7.api.async(connection, id, session, rebalanceTimeout, identity.memberId, null, PROTOCOL_TYPE, protocols)
  const join = (): Promise<JoinResponse> => ask(groupTopic, request, groupTopic.lane)
  return join().catch((error: unknown) => {
    // The first answer is a refusal that gives the id to join with.
    identity.memberId = givenMemberId(error)
    return join()
  })
}

function syncGeneration(
  groupTopic: GroupTopic,
  { memberId, generation }: MemberIdentity,
  assignments: MemberAssignments,
): Promise<SyncResponse> {
  const id = groupId(groupTopic)
  const request: Request<SyncResponse> = (connection) =>
    syncGroupV5.api.async(connection, id, generation, memberId, null, PROTOCOL_TYPE, PROTOCOL, assignments)
  return ask(groupTopic, request, groupTopic.lane)
}

async function assign(groupTopic: GroupTopic, members: Holder[]): Promise<MemberAssignments> {
  const shares = cooperativeAssignment(members, await groupTopic.topics.require(groupTopic.topic))
  return [...shares].map(([memberId, partitions]) => ({
    memberId,
    assignment: encodeAssignment(topicName(groupTopic), partitions),
  }))
}

/** @throws the error itself, unless it is the refusal that gives a member id. */
function givenMemberId(error: unknown): string {
  if (error instanceof AggregateError && kafkaErrors(error).includes('MEMBER_ID_REQUIRED') && 'response' in error) {
    const response = error.response as { memberId?: string }
    if (response.memberId !== undefined) return response.memberId
  }
  throw error
}

/**
 * Shows the coordinator that the member lives.
 *
 * @throws what the coordinator answers, such as that a rebalance is in progress, or that it does not know the member.
 */
export async function heartbeat(groupTopic: GroupTopic, { memberId, generation }: MemberIdentity): Promise<void> {
  const id = groupId(groupTopic)
  await ask(groupTopic, (connection) => heartbeatV4.api.async(connection, id, generation, memberId, null))
}

/**
 * Evicts members of this host whose process has ended. Kafka itself notices a killed process when its session ends.
 *
 * @returns whether there was one.
 */
export async function evictEndedMembers(groupTopic: GroupTopic): Promise<boolean> {
  const id = groupId(groupTopic)
  const { groups } = await ask(groupTopic, (connection) => describeGroupsV5.api.async(connection, [id], false))
  const ended = groups[0].members.filter(hasEnded)
  for (const { memberId } of ended) await leaveGroup(groupTopic, memberId)
  return ended.length > 0
}

/**
 * Whether a member's process has ended, as far as that can be seen from here. Its client id (`connections.ts`) names
 * the process. One of another form, such as an earlier fd's, says nothing: that member waits for its session's end.
 */
function hasEnded({ clientId }: { clientId: string }): boolean {
  const found = /^fd (\S+) (\d+) (\d*) (\S*)$/.exec(clientId)
  if (found === null) return false
  const [, host, pid, started, place] = found
  return hostedState({ host, pid: Number(pid), started, place }) === 'ended'
}

/** The request by which a member leaves the group, for a caller that sends it only once. */
export function leaveRequest(groupTopic: GroupTopic, memberId: string): (connection: Connection) => Promise<unknown> {
  return (connection) =>
    leaveGroupV5.api.async(connection, groupId(groupTopic), [{ memberId, groupInstanceId: null, reason: null }])
}

/** Removes a member from the group. Succeeds if the group no longer has it. */
export async function leaveGroup(groupTopic: GroupTopic, memberId: string): Promise<void> {
  try {
    await ask(groupTopic, leaveRequest(groupTopic, memberId))
  } catch (error) {
    if (!kafkaErrors(error).includes('UNKNOWN_MEMBER_ID')) throw error
  }
}

/**
 * The group's next offset to consume of each partition; 0 where none was committed. Waits for transactions that are
 * being closed.
 */
export async function committedOffsets(
  groupTopic: GroupTopic,
  partitions: readonly number[],
): Promise<Map<number, number>> {
  const topics = [{ name: topicName(groupTopic), partitionIndexes: [...partitions] }]
  const request = [{ groupId: groupId(groupTopic), memberId: null, memberEpoch: -1, topics }]
  const { groups } = await ask(groupTopic, (connection) => offsetFetchV8.api.async(connection, request, true))
  const found = groups[0].topics[0]?.partitions ?? []
  const committed = (partition: number): number =>
    Number(found.find(({ partitionIndex }) => partitionIndex === partition)?.committedOffset ?? 0n)
  return new Map(partitions.map((partition) => [partition, Math.max(0, committed(partition))]))
}
