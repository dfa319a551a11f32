import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Connection, findCoordinatorV4, metadataV12 } from '@platformatic/kafka'
import { brokerGone, firstContactFailed, isClosingTransaction, isTransient, kafkaErrors, reasonOf, refusedUser } from './kafka-error.ts'
import type { KafkaLocation } from './kafka-location.ts'
import { processStart } from './group.ts'
import { SECOND } from './transaction.ts'

/** Who answers a request: any broker, the leader of a partition, or the coordinator of a group or transactional id. */
export type Route = { to: 'any' } | { to: 'leader'; topic: string; partition: number } | { to: 'group' | 'transaction'; key: string }

/** The partitions of a topic, by the id of the broker that leads each. */
export interface TopicLeaders {
  leaders: number[]
}

/**
 * Connections to a Kafka cluster, and who leads what in it. Built on the client's connections and request codecs, not on
 * its Producer and Consumer: those retry and hand over ownership by rules of their own, and make several objects a record.
 */
export interface KafkaCluster extends AsyncDisposable {
  location: KafkaLocation
  /** Hears, in a sentence, what is being waited for. */
  tell: (message: string) => void
  /** Sends a request, and again as `retry` says. Requests of one `lane` share a connection, on which a broker answers in turn. */
  call<T>(route: Route, request: Request<T>, lane?: string): Promise<T>
  /** Sends a request once. */
  once<T>(route: Route, request: Request<T>, lane?: string): Promise<T>
  /**
   * Does `work` again after transient faults (a broker that restarts, a leader that moves), for as long as the URL's
   * patience; what it waits for is told.
   *
   * @throws UserError when patience is over, or the cluster could never be reached; a broker's refusal as it came.
   */
  retry<T>(work: () => Promise<T>): Promise<T>
  /** The topic's leaders (name with prefix), or undefined when there is no such topic. Remembered until a fault. */
  leaders(topic: string): Promise<TopicLeaders | undefined>
  /** Forgets who leads what, because a broker has said that it is otherwise. */
  forget(): void
  /** Closes the connections of a lane. */
  closeLane(lane: string): Promise<void>
}

export type Request<T> = (connection: Connection) => Promise<T>

interface Address {
  host: string
  port: number
}

/** Connects when first needed. */
export function openCluster(location: KafkaLocation, tell: (message: string) => void): KafkaCluster {
  const links = new Links(location)
  const topics = new Map<string, TopicLeaders>()
  const brokers = new Map<number, Address>()
  const coordinators = new Map<string, Address>()
  const ended = new AbortController()
  let reached = false
  let turn = 0

  const forget = (): void => {
    topics.clear()
    coordinators.clear()
  }
  const bootstrap = (): Address => location.brokers[turn++ % location.brokers.length]
  const refresh = async (names: string[]): Promise<void> => {
    const metadata = await metadataV12.api.async(await links.get(bootstrap(), 'main'), names, false, false)
    for (const { nodeId, host, port } of metadata.brokers) brokers.set(nodeId, { host, port })
    for (const topic of metadata.topics) topics.set(topic.name ?? '', { leaders: topic.partitions.map(({ leaderId }) => leaderId) })
  }
  const resolve = async (route: Route): Promise<Address> => {
    if (route.to === 'any') return bootstrap()
    if (route.to === 'leader') {
      if (!topics.has(route.topic)) await refresh([route.topic])
      return brokers.get(topics.get(route.topic)?.leaders[route.partition] ?? -1) ?? bootstrap()
    }
    const id = `${route.to} ${route.key}`
    const known = coordinators.get(id)
    if (known !== undefined) return known
    const found = await findCoordinatorV4.api.async(await links.get(bootstrap(), 'main'), route.to === 'group' ? 0 : 1, [route.key])
    coordinators.set(id, found.coordinators[0])
    return found.coordinators[0]
  }
  const once: KafkaCluster['once'] = async (route, request, lane = 'main') => {
    const connection = await links.get(await resolve(route), lane)
    try {
      return await request(connection)
    } catch (error) {
      // A connection that broke or went silent has lost its place in the stream of answers.
      if (kafkaErrors(error).length === 0) links.drop(connection)
      throw error
    }
  }
  const retry: KafkaCluster['retry'] = async (work) => {
    const patience = AbortSignal.timeout(location.patience)
    let told = false
    for (let tries = 1; ; tries++) {
      try {
        const answer = await work()
        if (told) tell(`Kafka at ${location.shown} answers again.`)
        reached = true
        return answer
      } catch (error) {
        if (!isTransient(error) || ended.signal.aborted) throw refusedUser(location, error)
        reached ||= kafkaErrors(error).length > 0
        if (!reached && tries >= location.brokers.length) throw firstContactFailed(location, error)
        if (patience.aborted) throw brokerGone(location, error)
        const closing = isClosingTransaction(error)
        if (!closing) forget()
        if (!told && tries >= (closing ? 10 * TOLD_AFTER : TOLD_AFTER)) {
          told = true
          tell(`Kafka at ${location.shown} does not answer (${reasonOf(error)}): waiting up to ${location.patience / SECOND} s.`)
        }
        await sleep(Math.min(closing ? tries : 2 ** tries, 500), undefined, { signal: ended.signal })
      }
    }
  }
  const call: KafkaCluster['call'] = (route, request, lane) => retry(() => once(route, request, lane))
  return {
    location,
    tell,
    call,
    once,
    retry,
    forget,
    closeLane: (lane) => links.close(lane),
    async leaders(topic) {
      const known = topics.get(topic)
      if (known !== undefined) return known
      try {
        await call({ to: 'any' }, () => refreshTopic(refresh, topic))
      } catch (error) {
        if (error === NO_TOPIC) return undefined
        throw error
      }
      return topics.get(topic)
    },
    async [Symbol.asyncDispose]() {
      ended.abort()
      await links.close()
    },
  }
}

/** Attempts that pass in silence, about 1.5 s: a leader that moves. */
const TOLD_AFTER = 10
const NO_TOPIC = new Error('no such topic')

async function refreshTopic(refresh: (names: string[]) => Promise<void>, topic: string): Promise<void> {
  try {
    await refresh([topic])
  } catch (error) {
    if (kafkaErrors(error).includes('UNKNOWN_TOPIC_OR_PARTITION')) throw NO_TOPIC
    throw error
  }
}

/** `fd HOST PID START`, as the group coordinator shows a member: by it another `fd` of the host knows whether its process still runs. */
export function processName(): string {
  return `fd ${hostname()} ${process.pid} ${processStart(process.pid) ?? ''}`
}

/** Connections by address and lane, each opened when first needed. */
class Links {
  readonly #location: KafkaLocation
  readonly #open = new Map<string, Promise<Connection>>()

  constructor(location: KafkaLocation) {
    this.#location = location
  }

  get({ host, port }: Address, lane: string): Promise<Connection> {
    const key = `${lane} ${host} ${port}`
    const known = this.#open.get(key)
    if (known !== undefined) return known
    const { tls, sasl } = this.#location
    const connection = new Connection(processName(), { connectTimeout: 5 * SECOND, requestTimeout: 30 * SECOND, tls, tlsServerName: tls !== undefined, sasl })
    // Every failure reaches the request that meets it; an event without a listener would end the process.
    connection.on('error', () => this.drop(connection))
    connection.once('close', () => this.drop(connection))
    const connecting = Promise.resolve(connection.connect(host, port)).then(() => connection)
    this.#open.set(key, connecting)
    connecting.catch(() => this.#open.delete(key))
    this.#keys.set(connection, key)
    return connecting
  }

  readonly #keys = new WeakMap<Connection, string>()

  /** Forgets a connection that has failed; the next request opens another. */
  drop(connection: Connection): void {
    const key = this.#keys.get(connection)
    if (key === undefined) return
    this.#keys.delete(connection)
    this.#open.delete(key)
    connection.close(() => {})
  }

  /** Closes those of a lane, or all. */
  async close(lane?: string): Promise<void> {
    for (const [key, connecting] of this.#open) {
      if (lane !== undefined && !key.startsWith(`${lane} `)) continue
      this.#open.delete(key)
      await connecting.then((connection) => connection.close(), () => {})
    }
  }
}

