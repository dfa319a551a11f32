import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, findCoordinatorV4, metadataV12 } from '@platformatic/kafka'
import type { Tell } from '../../../configs/tell.ts'
import { SECOND } from '../../table/transaction.ts'
import { KafkaLinks } from './connections.ts'
import {
  brokerGone,
  explained,
  firstContactFailed,
  isClosingTransaction,
  isTransient,
  kafkaErrors,
  reasonOf,
} from './error.ts'
import type { BrokerAddress, KafkaLocation } from './location.ts'

/**
 * Who must answer a request: any broker, the leader of a partition, or the coordinator of a group or transactional id.
 */
export type Route = { to: 'any' } | { to: 'leader'; topic: string; partition: number } | CoordinatorRoute
type CoordinatorRoute = { to: 'group' | 'transaction'; key: string }
export type Request<T> = (connection: Connection) => Promise<T>

/** Attempts before the user is told: about 1.5 s, in which a leader can move. */
const TOLD_AFTER = 10
const GROUP_KEY = 0
const TRANSACTION_KEY = 1

/**
 * Connections to a Kafka cluster, and who leads what in it. Connects when first needed. Built on the client library's
 * connections and codecs, not on its Producer and Consumer. Those make several objects per record, hand partitions over
 * by rules of their own, and write timestamps that are 25 days apart wrongly (`records.test.ts`).
 */
export class KafkaCluster implements AsyncDisposable {
  readonly location: KafkaLocation
  readonly tell: Tell
  readonly #links: KafkaLinks
  /** By topic: the id of each partition's leader. */
  readonly #leaders = new Map<string, number[]>()
  readonly #brokers = new Map<number, BrokerAddress>()
  readonly #coordinators = new Map<string, BrokerAddress>()
  readonly #ended = new AbortController()
  #reached = false
  /** Whether the user was told. Several calls may wait for the same cluster, but the user is told only once. */
  #told = false
  #turn = 0

  constructor(location: KafkaLocation, tell: Tell) {
    this.location = location
    this.tell = tell
    this.#links = new KafkaLinks(location)
  }

  /**
   * Sends a request, and sends it again as `retry` says. Requests of one `lane` share a connection, on which a broker
   * answers one after the other.
   */
  call<T>(route: Route, request: Request<T>, lane?: string): Promise<T> {
    return this.retry(() => this.once(route, request, lane))
  }

  /** Sends a request once. */
  async once<T>(route: Route, request: Request<T>, lane = 'main'): Promise<T> {
    const connection = await this.#links.get(await this.#resolve(route), lane)
    try {
      return await request(connection)
    } catch (error) {
      // After a break or a timeout, answers on this connection can no longer be matched to requests.
      if (kafkaErrors(error).length === 0) this.#links.drop(connection)
      throw error
    }
  }

  /**
   * Repeats `work` after transient faults (a broker that restarts, a leader that moves), for as long as the URL's
   * patience. Tells the user what it waits for.
   *
   * @throws UserError when the patience is over, when the cluster was never reached, or when it refuses the user. Any
   * other refusal is thrown as it came.
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

  /**
   * Waits between two attempts, longer each time. The wait for a transaction that is being closed grows slowly, because
   * closing takes milliseconds and moves no leader.
   */
  async #pause(tries: number, error: unknown): Promise<void> {
    const closing = isClosingTransaction(error)
    if (!closing) this.forget()
    if (!this.#told && tries >= (closing ? 10 * TOLD_AFTER : TOLD_AFTER)) {
      this.#told = true
      const { shown, patience } = this.location
      const seconds = patience / SECOND
      this.tell(`Kafka at ${shown} does not answer (${reasonOf(error)}): waiting up to ${seconds} s.`, 'lost')
    }
    await sleep(Math.min(closing ? tries : 2 ** tries, 500), undefined, { signal: this.#ended.signal })
  }

  /**
   * The id of the broker that leads each of the topic's partitions; undefined when there is no such topic. Remembered
   * until a fault.
   *
   * @param topic its name with the log's prefix.
   */
  async leaders(topic: string): Promise<number[] | undefined> {
    // Returns the answer itself, because `forget` may clear what is remembered before it could be read.
    return this.#leaders.get(topic) ?? (await this.retry(() => this.#refresh(topic)))
  }

  /** Forgets who leads what, because an answer has shown that it changed, or may have. */
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

  #bootstrap(): BrokerAddress {
    return this.location.brokers[this.#turn++ % this.location.brokers.length]
  }

  /** Asks who leads each of the topic's partitions, in order; undefined when there is no such topic. */
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

  async #resolve(route: Route): Promise<BrokerAddress> {
    if (route.to === 'any') return this.#bootstrap()
    if (route.to === 'leader') {
      const leaders = this.#leaders.get(route.topic) ?? (await this.#refresh(route.topic))
      const leader = leaders?.[route.partition]
      return this.#brokers.get(leader ?? -1) ?? this.#bootstrap()
    }
    return this.#coordinators.get(coordinatorKey(route)) ?? this.#findCoordinator(route)
  }

  async #findCoordinator(route: CoordinatorRoute): Promise<BrokerAddress> {
    const connection = await this.#links.get(this.#bootstrap(), 'main')
    const keyType = route.to === 'group' ? GROUP_KEY : TRANSACTION_KEY
    const { coordinators } = await findCoordinatorV4.api.async(connection, keyType, [route.key])
    this.#coordinators.set(coordinatorKey(route), coordinators[0])
    return coordinators[0]
  }
}

function coordinatorKey({ to, key }: CoordinatorRoute): string {
  return `${to} ${key}`
}
