import { UserError } from '../../configs/user-error.ts'
import type { DurationMs, EpochMs } from '../table/transaction.ts'

/**
 * A log of events in topics: a topic is a table of all events that came through it. The port both drivers implement;
 * `event-log.contract.ts` says what is promised, and runs against every driver.
 *
 * - A topic has partitions; within one, records have offsets 0, 1, 2 … (gaps are allowed) and never change.
 * - A record with a key goes to the partition of the key's hash (murmur2 as Kafka's Java client computes it); one without, to partition 0.
 * - `append` returns when the records are durable: they survive kill -9 of any process.
 * - Readers in any process see a record once its append (or the commit that carries it) is done, never before, and are
 *   woken by it without a busy loop.
 * - A group's partition has one owner. `commit` writes outputs and input offsets atomically, or, when the owner has
 *   been replaced meanwhile, throws and writes nothing (fencing). A member that ends, however it does, is followed by the
 *   others, and so is one that was stopped for longer than its session.
 */
export interface EventLog extends AsyncDisposable {
  /** Makes the topic if it is missing; an existing one keeps its settings. */
  createTopic(name: string, settings?: Partial<TopicSettings>): Promise<Topic>
  /** All topics, by name. */
  topics(): Promise<Topic[]>
  /** @throws UserError when there is no such topic (the message lists those that exist). */
  topic(name: string): Promise<Topic>
  /**
   * Appends in order, a partition's records with consecutive offsets; the topic is made with default settings (one
   * partition, all kept) when missing. Resolves when they are durable.
   *
   * @throws UserError when the disk is full (nothing of the call is written, nothing older is lost), the name is no
   * topic's, or a record names a partition that the topic has not.
   */
  append(topic: string, records: NewRecord[]): Promise<void>
  /**
   * Records of one partition from `from` (clamped to the oldest kept), in offset order, in batches of at most `maxRecords`.
   * Ends at the end of the log as it stood at the call, or, with `follow`, when `signal` aborts.
   *
   * @throws UserError when topic or partition do not exist, or a stored block is damaged (topic, partition, offset and file given).
   */
  read(topic: string, partition: number, options?: ReadOptions): AsyncIterable<RecordBatch>
  /**
   * Joins `group`, whose members divide the partitions of `topic` among them. Resolves when this one's first share is
   * known; it may be empty, when there are more members than partitions, or until others have given up what is due to it.
   *
   * @throws UserError when there is no such topic, or a group cannot have this name.
   */
  join(group: string, topic: string, share?: ShareListener): Promise<GroupMember>
}

/** Thrown by a commit to a partition that is not the member's, or not any more; nothing of it was written. The member hears of it at its next `poll`, and may go on. */
export class PartitionLost extends UserError {}

/**
 * Hears which partitions come and go. Called within `join` and `poll` only, one call at a time, so that nothing of a
 * partition is under way but what the listener's owner began itself. What it throws, `join` or `poll` throws.
 */
export interface ShareListener {
  /**
   * Partitions that are this member's from now on, `committed` set and positions there; `seek` is allowed. Before any of
   * their records. `member` is the one that `join` is about to give, or that polls.
   */
  onAssigned?(partitions: readonly number[], member: GroupMember): Promise<void>
  /**
   * Partitions that are about to go to another member, which waits for this to resolve: what must be handed over is
   * committed and written here. With `lost` they are another's already: nothing can be committed, only forgotten.
   */
  onRevoked?(partitions: readonly number[], lost: boolean): Promise<void>
}

export interface GroupMember extends AsyncDisposable {
  /** The partitions of this member, with the next offset to consume as last committed; 0 when never. */
  committed: ReadonlyMap<number, number>
  /** Where `poll` continues, by partition. Starts at `committed`. */
  seek(partition: number, offset: number): void
  /**
   * Whatever has arrived, at most `maxRecords`, from one partition; partitions take turns. Waits while there is nothing,
   * at most `timeoutMs`, then resolves to undefined; so does an abort. Small appends that piled up come joined. Gives the
   * event loop a turn at every call.
   */
  poll(options: { maxRecords: number; timeoutMs: number; signal?: AbortSignal }): Promise<RecordBatch | undefined>
  /** True when every partition of this member has been polled to its current end; those of others are theirs. */
  idle(): Promise<boolean>
  /**
   * Writes all outputs and the next offset to consume of one partition in one transaction. Resolves when the transaction is
   * on its way, so that the caller can go on with the next batch; `durable` settles when it is done, or has failed with
   * nothing written. One at a time for a partition: await `durable` before its next commit. Those of others may go beside it.
   * Topics that are missing are made. With `lmdb:` an output topic must not have been appended to before its first commit
   * (one LMDB environment has both offsets and outputs); appending to it later is fine.
   *
   * @throws PartitionLost, here or from `durable`, when the partition is another's.
   */
  commit(partition: number, nextOffset: number, outputs: Map<string, NewRecord[]>): Promise<{ durable: Promise<void> }>
}

export interface TopicSettings {
  partitions: number
  /** Records older than this, by their timestamp against the newest record's, may be deleted; undefined keeps all. */
  retention?: DurationMs
}

export interface Topic extends TopicSettings {
  name: string
  /** By partition: the oldest kept offset and the offset the next record will get. */
  offsets: { start: number; end: number }[]
}

export interface ReadOptions {
  from?: number
  maxRecords?: number
  follow?: boolean
  signal?: AbortSignal
}

export interface NewRecord {
  key?: string | Uint8Array
  value: string | Uint8Array
  timestamp: EpochMs
  /** Overrides the key's hash. */
  partition?: number
}

/**
 * Records of one partition as columns over one buffer, so that a hot path makes no object a record.
 * Record i has offset `offsets[i]`; its key is bytes `keyStart[i]` to `valueStart[i]` (empty: no key), its value
 * `valueStart[i]` to `valueEnd[i]`. It stays valid as long as it is held.
 */
export interface RecordBatch {
  topic: string
  partition: number
  size: number
  offsets: Float64Array
  timestamps: Float64Array
  bytes: Buffer
  keyStart: Uint32Array
  valueStart: Uint32Array
  valueEnd: Uint32Array
}

/** What a configuration needs of its log. */
export interface LogNeeds {
  /** The scorer's. */
  group: string
  /** The topic it reads: with at least so many partitions, and records kept at least so long. */
  input: { topic: string; partitions: number; retention: DurationMs }
  /** The topics it writes. */
  outputs: string[]
}
