import type { Random } from '../../datasets/random/random.ts'
import { HOUR } from '../../datasets/table/transaction.ts'
import { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import type { SimulatedProcess } from '../../datasets/testing/simulation.ts'
import { planChain } from '../../features/chain/chain.ts'
import type { Base, EntityState, GroupState } from '../../features/store/online-store.ts'
import { openMemoryStore, type MemoryServer } from '../../features/testing/memory-store.ts'
import { serviceDigest } from '../../features/view/view.ts'
import { immediate } from '../../registry/testing/registry-worlds.ts'
import { TRANSACTIONS } from '../topics.ts'
import { schema, service, smallStream } from './small-stream.ts'
import { GROUP } from './stand-in.ts'
import { EMPTY, undisturbed } from './undisturbed.ts'

const EVENTS = 12

/** A history before the log of a simulation, which backfills publish again and again. */
export class SimulatedHistory {
  readonly #draft: Omit<Base, 'version'>
  readonly #states: EntityState[]

  private constructor(draft: Omit<Base, 'version'>, states: EntityState[]) {
    this.#draft = draft
    this.#states = states
  }

  /** A history of an hour that ends where the log begins. */
  static async before(start: number, random: Random): Promise<SimulatedHistory> {
    const broker = new MemoryBroker()
    const records = smallStream(random, { events: EVENTS, blankKeys: true, hourLate: false }, start - HOUR)
    broker.ensure(TRANSACTIONS)
    // Without a key all stand in one partition, and the fold has one stage.
    broker.write(
      TRANSACTIONS,
      records.map((record) => ({ ...record, partition: 0 })),
    )
    const [stage] = planChain(service, schema, { name: TRANSACTIONS, partitions: 1 }, GROUP)
    const nothing = async (): Promise<never> => ({ outputs: new Map() }) as never
    const { states, watermark = -Infinity } = await undisturbed(broker, stage, 0, nothing)
    const history = { dataset: 'small', file: 'small.csv', fileDigest: 'd', until: start, transactions: EVENTS }
    const draft = {
      service: service.name,
      serviceDigest: serviceDigest(service),
      watermark,
      minorUnits: 2,
      schema,
      history,
    }
    return new SimulatedHistory(draft, [...states.values()])
  }

  /** The first base, before anything runs. */
  async begin(server: MemoryServer): Promise<void> {
    await openMemoryStore(server, immediate).publish(this.#draft, this.#states)
  }

  /** Publishes the same again, so that scorers that start later begin anew from a base of another number. */
  async publish(server: MemoryServer, process: SimulatedProcess, random: Random, times: number): Promise<void> {
    for (let left = times; left > 0; left--) {
      for (let waits = random.integer(30); waits > 0; waits--) await process.wait(1)
      await openMemoryStore(server, process).publish(this.#draft, this.#states)
    }
  }

  /** What a fold without disturbance begins with. */
  get state(): GroupState {
    const byKey = new Map(this.#states.map(({ view, key, bytes }) => [`${view} ${key}`, bytes]))
    const read: GroupState['read'] = async (view, keys) => keys.map((key) => byKey.get(`${view} ${key}`))
    return { ...EMPTY, base: { ...this.#draft, version: 1 }, read }
  }
}
