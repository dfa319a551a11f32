import { isIP } from 'node:net'
import { Connection } from '@platformatic/kafka'
import { thisHostedProcess } from '../../../configs/process/living-process.ts'
import { SECOND } from '../../table/transaction.ts'
import type { BrokerAddress, KafkaLocation } from './location.ts'

/**
 * `fd HOST PID START PLACE`, which the group coordinator shows as a member's client id. By it, another `fd` of the same
 * place can tell whether the member's process still runs (`group.ts`).
 */
function processName(): string {
  const { host, pid, started, place } = thisHostedProcess()
  return `fd ${host} ${pid} ${started} ${place}`
}

/**
 * Connections by broker and lane, each opened when first needed. A broker answers the requests of one connection in
 * turn, so whatever must not wait for other requests uses a lane of its own.
 */
export class KafkaLinks {
  readonly #location: KafkaLocation
  readonly #open = new Map<string, Promise<Connection>>()
  readonly #keys = new WeakMap<Connection, string>()
  #closed = false

  constructor(location: KafkaLocation) {
    this.#location = location
  }

  /** @throws Error when all have been closed: a new connection would keep the process from ending. */
  async get({ host, port }: BrokerAddress, lane: string): Promise<Connection> {
    if (this.#closed) throw new Error(`The log on Kafka at ${this.#location.shown} has been closed.`)
    const key = `${lane} ${host} ${port}`
    const known = this.#open.get(key)
    if (known !== undefined) return known
    const { tls, sasl, session } = this.#location
    const connection = new Connection(processName(), {
      connectTimeout: 5 * SECOND,
      // Joining a group lasts until its busiest member polls: at most three sessions (`group.ts`).
      requestTimeout: Math.max(30 * SECOND, 5 * session),
      tls,
      tlsServerName: tls !== undefined && isIP(host) === 0,
      sasl,
    })
    // Every failure reaches the request that it hits. But an error event without a listener would end the process.
    connection.on('error', () => this.drop(connection))
    connection.once('close', () => this.drop(connection))
    const connecting = Promise.resolve(connection.connect(host, port)).then(() => connection)
    this.#keys.set(connection, key)
    this.#open.set(key, connecting)
    connecting.catch(() => this.drop(connection))
    return connecting
  }

  /** Forgets a connection that has failed. The next request opens another. */
  drop(connection: Connection): void {
    const key = this.#keys.get(connection)
    if (key === undefined) return
    this.#keys.delete(connection)
    this.#open.delete(key)
    connection.close(() => {})
  }

  /** Closes the connections of a lane. Without a lane, closes all connections for good. */
  async close(lane?: string): Promise<void> {
    this.#closed ||= lane === undefined
    for (const [key, connecting] of this.#open) {
      if (lane !== undefined && !key.startsWith(`${lane} `)) continue
      this.#open.delete(key)
      await connecting.then(
        (connection) => connection.close(),
        () => {},
      )
    }
  }
}
