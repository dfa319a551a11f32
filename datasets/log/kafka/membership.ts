import { setTimeout as sleep } from 'node:timers/promises'
import type { DurationMs } from '../../table/transaction.ts'
import { kafkaErrors } from './error.ts'
import {
  evictEndedMembers,
  groupId,
  type GroupTopic,
  heartbeat,
  leaveGroup,
  leaveRequest,
  type MemberIdentity,
  rebalance,
} from './group.ts'

/** Kafka's errors by which the coordinator says that a member is no longer in the group, or has been fenced. */
const EVICTED = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'])

/**
 * A membership in a Kafka consumer group, kept alive by heartbeats. Heartbeats run beside everything else, so they only
 * note what the coordinator answers. The member acts on it when it polls.
 */
export class Membership implements AsyncDisposable {
  readonly identity: MemberIdentity = { memberId: '', generation: -1 }
  /** Whether to take part in a rebalance: the coordinator asked for it, or partitions were revoked. */
  rejoinNeeded = true
  /** Whether the membership, and with it every partition, was lost; or another member has fenced this one. */
  lost = false
  /** Why a membership is impossible, if it is. */
  failed: { error: unknown } | undefined
  readonly #groupTopic: GroupTopic
  readonly #stop = new AbortController()
  readonly #heartbeats: Promise<void>
  #joining = false

  constructor(groupTopic: GroupTopic) {
    this.#groupTopic = groupTopic
    this.#heartbeats = this.#sendHeartbeats(groupTopic.cluster.location.session / 10)
  }

  /**
   * Takes part in rebalances until one completes.
   *
   * @param owned the partitions that this member owns.
   * @returns the partitions assigned to it, or undefined when the membership is lost.
   */
  async join(owned: readonly number[]): Promise<number[] | undefined> {
    this.#joining = true
    try {
      await evictEndedMembers(this.#groupTopic)
      while (!this.#stop.signal.aborted) {
        this.rejoinNeeded = false
        const assigned = await this.#tryToJoin(owned)
        if (assigned !== undefined) return assigned
        if (this.lost) return undefined
      }
      return undefined
    } finally {
      this.#joining = false
    }
  }

  /**
   * Asks the coordinator whether this member is still in the group. As long as it is, its partitions are not another's:
   * a rebalance takes none away before it takes part.
   */
  async confirm(): Promise<boolean> {
    const { generation } = this.identity
    try {
      await heartbeat(this.#groupTopic, this.identity)
    } catch (error) {
      this.#note(error, generation)
      if (this.failed !== undefined) throw error
    }
    return !this.lost
  }

  /** Leaves what remains of a lost membership, so that `join` starts a new one. */
  async reset(): Promise<void> {
    if (this.identity.memberId !== '') await leaveGroup(this.#groupTopic, this.identity.memberId)
    Object.assign(this.identity, { memberId: '', generation: -1 })
    this.lost = false
    this.rejoinNeeded = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    await this.#heartbeats
    const { cluster, lane } = this.#groupTopic
    const { memberId } = this.identity
    // Sent once: if it fails, the partitions become free when the session ends.
    if (memberId !== '') {
      const route = { to: 'group', key: groupId(this.#groupTopic) } as const
      await Promise.allSettled([cluster.once(route, leaveRequest(this.#groupTopic, memberId))])
    }
    await cluster.closeLane(lane)
  }

  async #tryToJoin(owned: readonly number[]): Promise<number[] | undefined> {
    try {
      return await rebalance(this.#groupTopic, this.identity, owned)
    } catch (error) {
      const names = kafkaErrors(error)
      // The next rebalance began before this one was complete.
      if (names.includes('REBALANCE_IN_PROGRESS') || names.includes('ILLEGAL_GENERATION')) return undefined
      if (!names.some((name) => EVICTED.has(name))) throw error
      this.lost = true
      return undefined
    }
  }

  async #sendHeartbeats(every: DurationMs): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted && this.failed === undefined) {
      await Promise.allSettled([sleep(every, undefined, { signal, ref: false })])
      if (signal.aborted) return
      const { generation } = this.identity
      try {
        if (!this.#joining && !this.lost) await heartbeat(this.#groupTopic, this.identity)
        if (await evictEndedMembers(this.#groupTopic)) this.rejoinNeeded = true
      } catch (error) {
        this.#note(error, generation)
      }
    }
  }

  /** Notes the answer to a heartbeat of `generation`. It no longer matters once another generation has begun. */
  #note(error: unknown, generation: number): void {
    const names = kafkaErrors(error)
    if (names.length === 0) this.failed = { error }
    else if (this.#joining || this.identity.generation !== generation) return
    else if (names.includes('REBALANCE_IN_PROGRESS')) this.rejoinNeeded = true
    else if (names.some((name) => EVICTED.has(name))) this.lost = true
    else this.failed = { error }
  }
}
