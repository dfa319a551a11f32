import { setTimeout as sleep } from 'node:timers/promises'
import type { DurationMs } from '../../table/transaction.ts'
import { kafkaErrors } from './error.ts'
import {
  groupId,
  heartbeat,
  type KafkaSeat,
  leave,
  leaveRequest,
  rebalance,
  showOutTheDead,
  type Standing,
} from './group.ts'

/** By these the coordinator says that a member is none of its. */
const EXPELLED = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'])

/**
 * A member's place in a Kafka consumer group, held by heartbeats. They run beside everything else and so only take note of
 * what the coordinator says; the member acts on it when it polls.
 */
export class KafkaPlace implements AsyncDisposable {
  readonly standing: Standing = { memberId: '', generation: -1 }
  /** Whether to take part in a rebalance: asked for by the coordinator, or because partitions were given up. */
  due = true
  /** Whether the place was lost, and with it all partitions; or another has shut this member out. */
  lost = false
  /** Why no place can be held, when none can. */
  failed: { error: unknown } | undefined
  readonly #seat: KafkaSeat
  readonly #stop = new AbortController()
  readonly #beating: Promise<void>
  #entering = false

  constructor(seat: KafkaSeat) {
    this.#seat = seat
    this.#beating = this.#beat(seat.cluster.location.session / 10)
  }

  /**
   * Takes part in rebalances until one is done.
   *
   * @param owned the partitions this member has
   * @returns those it is to have, or undefined when the place is lost.
   */
  async enter(owned: readonly number[]): Promise<number[] | undefined> {
    this.#entering = true
    try {
      await showOutTheDead(this.#seat)
      while (!this.#stop.signal.aborted) {
        this.due = false
        const share = await this.#tryToEnter(owned)
        if (share !== undefined) return share
        if (this.lost) return undefined
      }
      return undefined
    } finally {
      this.#entering = false
    }
  }

  /** Leaves what is left of a lost place, so that `enter` takes a new one. */
  async vacate(): Promise<void> {
    if (this.standing.memberId !== '') await leave(this.#seat, this.standing.memberId)
    Object.assign(this.standing, { memberId: '', generation: -1 })
    this.lost = false
    this.due = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    await this.#beating
    const { cluster, lane } = this.#seat
    // Asked once: a place that cannot be given up now is free when its session ends.
    if (this.standing.memberId !== '')
      await Promise.allSettled([
        cluster.once({ to: 'group', key: groupId(this.#seat) }, leaveRequest(this.#seat, this.standing.memberId)),
      ])
    await cluster.closeLane(lane)
  }

  async #tryToEnter(owned: readonly number[]): Promise<number[] | undefined> {
    try {
      return await rebalance(this.#seat, this.standing, owned)
    } catch (error) {
      const names = kafkaErrors(error)
      // The next rebalance began before this one was done.
      if (names.includes('REBALANCE_IN_PROGRESS') || names.includes('ILLEGAL_GENERATION')) return undefined
      if (!names.some((name) => EXPELLED.has(name))) throw error
      this.lost = true
      return undefined
    }
  }

  async #beat(every: DurationMs): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted && this.failed === undefined) {
      await Promise.allSettled([sleep(every, undefined, { signal, ref: false })])
      if (signal.aborted) return
      const { generation } = this.standing
      try {
        if (!this.#entering && !this.lost) await heartbeat(this.#seat, this.standing)
        if (await showOutTheDead(this.#seat)) this.due = true
      } catch (error) {
        this.#note(error, generation)
      }
    }
  }

  /** What a heartbeat of `generation` was answered; nothing that matters once another generation has begun. */
  #note(error: unknown, generation: number): void {
    const names = kafkaErrors(error)
    if (names.length === 0) this.failed = { error }
    else if (this.#entering || this.standing.generation !== generation) return
    else if (names.includes('REBALANCE_IN_PROGRESS')) this.due = true
    else if (names.some((name) => EXPELLED.has(name))) this.lost = true
    else this.failed = { error }
  }
}
