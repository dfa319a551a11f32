import { UserError } from '../../configs/user-error.ts'
import { stickyAssignment } from '../log/assignor.ts'
import {
  PartitionLost,
  type CommitUnderWay,
  type GroupMember,
  type Outputs,
  type PollOptions,
  type RecordBatch,
  type ShareListener,
} from '../log/event-log.ts'
import { memberShare, type MemberShare } from '../log/member-share.ts'
import type { MemoryBroker, MemoryGroup } from './memory-broker.ts'
import type { Scheduler } from './scheduler.ts'

type Change =
  | { change: 'lost' | 'revoked'; partitions: number[] }
  | { change: 'assigned'; committed: Map<number, number> }

/** How often a member asks whether its group has changed. */
const HEARTBEAT_MS = 1
const NEVER = new Promise<void>(() => {})

/** A member as one process has it. Each look at the group, and each change of it, is a step of the scheduler's. */
export class MemoryMember implements GroupMember {
  readonly committed: ReadonlyMap<number, number>
  readonly #broker: MemoryBroker
  readonly #scheduler: Scheduler
  readonly #group: MemoryGroup
  readonly #share: MemberShare
  readonly #positions = new Map<number, number>()
  readonly #epochs = new Map<number, number>()
  #number = -1
  /** The versions of the group that this member has heard of, and has acted on. */
  #heard = -1
  #settledAt = -1
  #turn = 0
  #open = true

  private constructor(broker: MemoryBroker, scheduler: Scheduler, group: MemoryGroup, listener: ShareListener) {
    this.#broker = broker
    this.#scheduler = scheduler
    this.#group = group
    this.#share = memberShare(listener)
    this.committed = this.#share.committed
  }

  static async join(
    broker: MemoryBroker,
    scheduler: Scheduler,
    name: string,
    topic: string,
    listener: ShareListener,
  ): Promise<MemoryMember> {
    const group = broker.group(name, topic)
    const member = new MemoryMember(broker, scheduler, group, listener)
    await scheduler.call(`join of ${group.topic}`, () => member.#add())
    void member.#listen()
    try {
      await member.#settle()
    } catch (error) {
      await member[Symbol.asyncDispose]()
      throw error
    }
    return member
  }

  seek(partition: number, offset: number): void {
    if (!this.#positions.has(partition)) throw new UserError(`Partition ${partition} is not this member's.`)
    this.#positions.set(partition, offset)
  }

  async poll({ maxRecords, timeoutMs, signal }: PollOptions): Promise<RecordBatch | undefined> {
    const until = this.#scheduler.now() + timeoutMs
    while (!aborted(signal)) {
      const { changed } = this.#broker
      await this.#settle()
      const batch = await this.#scheduler.call(`fetch of ${this.#group.topic}`, () => this.#take(maxRecords))
      if (batch !== undefined) return batch
      const left = until - this.#scheduler.now()
      if (left <= 0 || (await this.#scheduler.wait(left, changed, signal))) return undefined
    }
    return undefined
  }

  idle(): Promise<boolean> {
    const { topic } = this.#group
    return this.#scheduler.call(`end of ${topic}`, () =>
      [...this.#positions].every(
        ([partition, position]) => position >= this.#broker.require(topic).partitions[partition].length,
      ),
    )
  }

  async commit(partition: number, nextOffset: number, outputs: Outputs): Promise<CommitUnderWay> {
    const epoch = this.#epochs.get(partition)
    if (epoch === undefined) throw lost(this.#group, partition, 'is not this member’s')
    const name = `commit of ${this.#group.topic}/${partition} up to ${nextOffset}`
    await this.#scheduler.call(`begin of the ${name}`, () => {
      for (const topic of outputs.keys()) this.#broker.ensure(topic)
    })
    const durable = this.#scheduler.call(name, () => {
      const owner = this.#assertOwner(partition, epoch)
      this.#broker.onCommit(this.#group, partition, nextOffset)
      for (const [topic, records] of outputs) this.#broker.write(topic, records)
      owner.committed = nextOffset
    })
    const told = durable.then(() => {
      if (this.#epochs.get(partition) === epoch) this.#share.committed.set(partition, nextOffset)
    })
    // The caller may look at it later than it settles.
    void Promise.allSettled([told])
    return { durable: told }
  }

  async confirm(partition: number): Promise<void> {
    const epoch = this.#epochs.get(partition)
    if (epoch === undefined) throw lost(this.#group, partition, 'is not this member’s')
    await this.#scheduler.call(`look at the owner of ${this.#group.topic}/${partition}`, () => {
      this.#assertOwner(partition, epoch)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return
    this.#open = false
    this.#epochs.clear()
    await this.#scheduler.call(`leave of ${this.#group.topic}`, () =>
      this.#broker.evict(this.#group, ({ number }) => number === this.#number),
    )
  }

  #add(): void {
    this.#number = this.#group.next++
    this.#group.members.push({ number: this.#number, process: this.#scheduler.name })
    this.#broker.change(this.#group)
    this.#heard = this.#group.version
  }

  /** Hears of changes some time after them, as by heartbeats. */
  async #listen(): Promise<void> {
    const hear = (): void => void (this.#heard = this.#group.version)
    while (this.#open) {
      const { changed } = this.#group
      await Promise.allSettled([this.#scheduler.wait(HEARTBEAT_MS, NEVER)])
      const heard = this.#scheduler.call(`news of the group of ${this.#group.topic}`, hear)
      if ((await Promise.allSettled([heard]))[0].status === 'rejected') continue
      // Whoever waits for a change may have looked before the news.
      this.#broker.ring()
      await changed
    }
  }

  #assertOwner(partition: number, epoch: number): MemoryGroup['owners'][number] {
    const owner = this.#group.owners[partition]
    if (owner.epoch === epoch && owner.member !== undefined) return owner
    this.#heard = this.#group.version
    throw lost(this.#group, partition, 'was taken over')
  }

  /** Tells what was lost, gives up what others are due, takes what is free, until nothing is left to do. */
  async #settle(): Promise<void> {
    while (this.#settledAt < this.#heard) {
      const next = await this.#scheduler.call(`look at the group of ${this.#group.topic}`, () => this.#change())
      if (next === undefined) continue
      if (next.change === 'assigned') {
        for (const [partition, offset] of next.committed) this.#positions.set(partition, offset)
        this.#share.assign(next.committed)
        await this.#share.announce(this)
        continue
      }
      if (next.change === 'revoked') await this.#share.revoke(next.partitions)
      for (const partition of next.partitions) this.#positions.delete(partition)
      if (next.change === 'lost') await this.#share.lose(next.partitions)
      else await this.#scheduler.call(`release of ${next.partitions.join()}`, () => this.#release(next.partitions))
    }
    await this.#share.announce(this)
  }

  #change(): Change | undefined {
    const { members, owners, version } = this.#group
    if (!members.some(({ number }) => number === this.#number)) {
      const partitions = [...this.#epochs.keys()]
      this.#epochs.clear()
      this.#add()
      return { change: 'lost', partitions }
    }
    const holders = members.map(({ number: member }) => ({
      id: String(member),
      holds: [...owners.keys()].filter((partition) => owners[partition].member === member),
    }))
    const share = stickyAssignment(holders, owners.length).get(String(this.#number)) ?? []
    const revoked = [...this.#epochs.keys()].filter((partition) => !share.includes(partition))
    if (revoked.length > 0) return { change: 'revoked', partitions: revoked }
    const free = share.filter((partition) => owners[partition].member === undefined)
    if (free.length === 0) {
      this.#settledAt = version
      return undefined
    }
    for (const partition of free) {
      const epoch = ++owners[partition].epoch
      owners[partition].member = this.#number
      this.#epochs.set(partition, epoch)
    }
    this.#broker.change(this.#group)
    this.#heard = this.#group.version
    return { change: 'assigned', committed: new Map(free.map((partition) => [partition, owners[partition].committed])) }
  }

  #release(partitions: readonly number[]): void {
    for (const partition of partitions) {
      const owner = this.#group.owners[partition]
      if (owner.epoch === this.#epochs.get(partition)) owner.member = undefined
      this.#epochs.delete(partition)
    }
    this.#broker.change(this.#group)
    this.#heard = this.#group.version
  }

  /** The next batch of the first partition that has one, beginning with the one whose turn it is. */
  #take(maxRecords: number): RecordBatch | undefined {
    const own = [...this.#positions]
    for (let i = 0; i < own.length; i++) {
      const turn = (this.#turn + i) % own.length
      const [partition, position] = own[turn]
      const batch = this.#broker.batch(this.#group.topic, partition, position, maxRecords)
      if (batch === undefined) continue
      this.#positions.set(partition, position + batch.size)
      this.#turn = (turn + 1) % own.length
      return batch
    }
    return undefined
  }
}

function lost({ group, topic }: MemoryGroup, partition: number, why: string): PartitionLost {
  return new PartitionLost(
    `Partition ${partition} of topic "${topic}" ${why} in group "${group}". Nothing of this commit was written.`,
  )
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
