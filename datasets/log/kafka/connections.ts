import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { Connection } from '@platformatic/kafka'
import { SECOND } from '../../table/transaction.ts'
import { pidNamespace, thisProcess } from '../living-process.ts'
import type { KafkaLocation } from './location.ts'

export interface Address {
  host: string
  port: number
}

/** `fd HOST PID START NAMESPACE`, as the group coordinator shows a member: by it another `fd` of the host, or container, knows whether its process still runs. */
function processName(): string {
  const { pid, started } = thisProcess()
  return `fd ${hostname()} ${pid} ${started} ${pidNamespace()}`
}

/** Connections by broker and lane, each opened when first needed. A broker answers one connection's requests in turn. */
export class KafkaLinks {
  readonly #location: KafkaLocation
  readonly #open = new Map<string, Promise<Connection>>()
  readonly #keys = new WeakMap<Connection, string>()
  #closed = false

  constructor(location: KafkaLocation) {
    this.#location = location
  }

  /** @throws Error when all have been closed: one more would keep the process from its end. */
  async get({ host, port }: Address, lane: string): Promise<Connection> {
    if (this.#closed) throw new Error(`The log on Kafka at ${this.#location.shown} has been closed.`)
    const key = `${lane} ${host} ${port}`
    const known = this.#open.get(key)
    if (known !== undefined) return known
    const { tls, sasl, session } = this.#location
    const connection = new Connection(processName(), {
      connectTimeout: 5 * SECOND,
      // Joining a group takes as long as its busiest member needs to poll: at most three sessions (`kafka-group.ts`).
      requestTimeout: Math.max(30 * SECOND, 5 * session),
      tls,
      tlsServerName: tls !== undefined && isIP(host) === 0,
      sasl,
    })
    // Every failure reaches the request that meets it; an event without a listener would end the process.
    connection.on('error', () => this.drop(connection))
    connection.once('close', () => this.drop(connection))
    const connecting = Promise.resolve(connection.connect(host, port)).then(() => connection)
    this.#keys.set(connection, key)
    this.#open.set(key, connecting)
    connecting.catch(() => this.drop(connection))
    return connecting
  }

  /** Forgets a connection that has failed; the next request opens another. */
  drop(connection: Connection): void {
    const key = this.#keys.get(connection)
    if (key === undefined) return
    this.#keys.delete(connection)
    this.#open.delete(key)
    connection.close(() => {})
  }

  /** Closes the connections of a lane, or all, for good. */
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
