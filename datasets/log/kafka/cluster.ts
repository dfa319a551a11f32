import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, findCoordinatorV4, metadataV12 } from '@platformatic/kafka'
import type { Tell } from '../../../configs/tell.ts'
import { SECOND } from '../../table/transaction.ts'
import { type Address, KafkaLinks } from './connections.ts'
import {
  brokerGone,
  explained,
  firstContactFailed,
  isClosingTransaction,
  isTransient,
  kafkaErrors,
  reasonOf,
} from './error.ts'
import type { KafkaLocation } from './location.ts'

/** Who answers a request: any broker, the leader of a partition, or the coordinator of a group or transactional id. */
export type Route =
  | { to: 'any' }
  | { to: 'leader'; topic: string; partition: number }
  | { to: 'group' | 'transaction'; key: string }
export type Request<T> = (connection: Connection) => Promise<T>

/** Attempts that pass in silence, about 1.5 s: a leader that moves. */
const TOLD_AFTER = 10
const GROUP_KEY = 0
const TRANSACTION_KEY = 1

/**
 * Connections to a Kafka cluster, and who leads what in it. Built on the client's connections and codecs, not on its
 * Producer and Consumer: those make several objects a record, hand partitions over by rules of their own, and write
 * timestamps that are 25 days apart wrongly (`kafka-records.test.ts`). Connects when first needed.
 */
export class KafkaCluster implements AsyncDisposable {
  readonly location: KafkaLocation
  readonly tell: Tell
  readonly #links: KafkaLinks
  /** By topic: the id of each partition's leader. */
  readonly #leaders = new Map<string, number[]>()
  readonly #brokers = new Map<number, Address>()
  readonly #coordinators = new Map<string, Address>()
  readonly #ended = new AbortController()
  #reached = false
  /** Several calls wait for the same cluster; it is said once. */
  #told = false
  #turn = 0

  constructor(location: KafkaLocation, tell: Tell) {
    this.location = location
    this.tell = tell
    this.#links = new KafkaLinks(location)
  }

  /** Sends a request, and again as `retry` says. Requests of one `lane` share a connection, on which a broker answers in turn. */
  call<T>(route: Route, request: Request<T>, lane?: string): Promise<T> {
    return this.retry(() => this.once(route, request, lane))
  }

  /** Sends a request once. */
  async once<T>(route: Route, request: Request<T>, lane = 'main'): Promise<T> {
    const connection = await this.#links.get(await this.#resolve(route), lane)
    try {
      return await request(connection)
    } catch (error) {
      // A connection that broke or went silent has lost its place in the stream of answers.
      if (kafkaErrors(error).length === 0) this.#links.drop(connection)
      throw error
    }
  }

  /**
   * Does `work` again after transient faults (a broker that restarts, a leader that moves), for as long as the URL's
   * patience; what it waits for is told.
   *
   * @throws UserError when patience is over, the cluster could never be reached, or it refuses the user; any other refusal as it came.
   */
  async retry<T>(work: () => Promise<T>): Promise<T> {
    const patience = AbortSignal.timeout(this.location.patience)
    for (let tries = 1; ; tries++) {
      try {
        const answer = await work()
        this.#answered()
        return answer
      } catch (error) {
        if (!isTransient(error) || this.#ended.signal.aborted) throw explained(this.location, error)
        this.#reached ||= kafkaErrors(error).length > 0
        if (!this.#reached && tries >= this.location.brokers.length) throw firstContactFailed(this.location, error)
        if (patience.aborted) throw brokerGone(this.location, error)
        await this.#pause(tries, error)
      }
    }
  }

  #answered(): void {
    this.#reached = true
    if (this.#told) this.tell(`Kafka at ${this.location.shown} answers again.`, 'back')
    this.#told = false
  }

  /** Between two attempts: longer and longer, but for a transaction that is being closed, which takes milliseconds and moves no leader. */
  async #pause(tries: number, error: unknown): Promise<void> {
    const closing = isClosingTransaction(error)
    if (!closing) this.forget()
    if (!this.#told && tries >= (closing ? 10 * TOLD_AFTER : TOLD_AFTER)) {
      this.#told = true
      this.tell(
        `Kafka at ${this.location.shown} does not answer (${reasonOf(error)}): waiting up to ${this.location.patience / SECOND} s.`,
        'lost',
      )
    }
    await sleep(Math.min(closing ? tries : 2 ** tries, 500), undefined, { signal: this.#ended.signal })
  }

  /** The broker that leads each of the topic's partitions (name with prefix), or undefined when there is no such topic. Remembered until a fault. */
  async leaders(topic: string): Promise<number[] | undefined> {
    // The answer itself, not what is remembered of it: `forget` may come between the two.
    return this.#leaders.get(topic) ?? (await this.retry(() => this.#refresh(topic)))
  }

  /** Forgets who leads what, because a broker has said that it is otherwise. */
  forget(): void {
    this.#leaders.clear()
    this.#coordinators.clear()
  }

  closeLane(lane: string): Promise<void> {
    return this.#links.close(lane)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#links.close()
  }

  #bootstrap(): Address {
    return this.location.brokers[this.#turn++ % this.location.brokers.length]
  }

  /** Asks who leads the topic's partitions, by number; undefined when there is no such topic. */
  async #refresh(topic: string): Promise<number[] | undefined> {
    const connection = await this.#links.get(this.#bootstrap(), 'main')
    try {
      const { brokers, topics } = await metadataV12.api.async(connection, [topic], false, false)
      for (const { nodeId, host, port } of brokers) this.#brokers.set(nodeId, { host, port })
      const byNumber = topics
        .flatMap(({ partitions }) => partitions)
        .toSorted((a, b) => a.partitionIndex - b.partitionIndex)
      const leaders = byNumber.map(({ leaderId }) => leaderId)
      this.#leaders.set(topic, leaders)
      return leaders
    } catch (error) {
      if (!kafkaErrors(error).includes('UNKNOWN_TOPIC_OR_PARTITION')) throw error
      return undefined
    }
  }

  async #resolve(route: Route): Promise<Address> {
    if (route.to === 'any') return this.#bootstrap()
    if (route.to === 'leader') {
      const leaders = this.#leaders.get(route.topic) ?? (await this.#refresh(route.topic))
      const leader = leaders?.[route.partition]
      return this.#brokers.get(leader ?? -1) ?? this.#bootstrap()
    }
    const id = `${route.to} ${route.key}`
    const known = this.#coordinators.get(id)
    if (known !== undefined) return known
    const connection = await this.#links.get(this.#bootstrap(), 'main')
    const found = await findCoordinatorV4.api.async(connection, route.to === 'group' ? GROUP_KEY : TRANSACTION_KEY, [
      route.key,
    ])
    this.#coordinators.set(id, found.coordinators[0])
    return found.coordinators[0]
  }
}
