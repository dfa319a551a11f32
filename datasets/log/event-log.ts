import { UserError } from '../../configs/user-error.ts'
import type { DurationMs, EpochMs } from '../table/transaction.ts'

/**
 * A log of events in topics. A topic is a table of all events that came through it. Every driver implements this port;
 * `event-log.contract.ts` states the promises as tests and runs against each driver.
 *
 * **Order.** A topic has partitions. Within a partition, records have ascending offsets from 0. Gaps are allowed. A
 * record never changes. A record with a key goes to the partition of the key's hash (murmur2, as Kafka's Java client
 * computes it). A record without a key goes to partition 0.
 *
 * **Durability.** `append` returns when the records are durable: they survive kill -9 of any process. A group member's
 * `commit` writes its outputs and its input offset atomically.
 *
 * **Ownership and fencing.** Each partition of a group has one owner. If another member has replaced the owner, the old
 * owner's `commit` throws and writes nothing. When a member ends, however it ends, the other members take over its
 * partitions. They also take over the partitions of a member that was stopped for longer than its session.
 *
 * **Waking readers.** Readers in every process see a record as soon as its `append` is done, or the `commit` that
 * carries it, and never before. A reader that waits is woken by it, without a busy loop.
 *
 * **Errors.** Each method states the `UserError`s that it throws. `PartitionLost` is one that a member may catch: it
 * can continue with its other partitions.
 */
export interface EventLog extends AsyncDisposable {
  /** Makes the topic if it is missing. An existing topic keeps its settings. */
  createTopic(name: string, settings?: Partial<TopicSettings>): Promise<Topic>
  /** All topics, by name. */
  topics(): Promise<Topic[]>
  /** @throws UserError when there is no such topic; the message lists those that exist. */
  topic(name: string): Promise<Topic>
  /**
   * Appends records in order; those of one partition get consecutive offsets. Makes a missing topic with the default
   * settings (one partition, all records kept). Resolves when the records are durable.
   *
   * @throws UserError when the disk is full (nothing of the call is written, nothing older is lost), when no topic can
   * have this name, or when a record names a partition that the topic does not have.
   */
  append(topic: string, records: NewRecord[]): Promise<void>
  /**
   * Reads one partition from offset `from` (clamped to the oldest kept record), in offset order, in batches of at most
   * `maxRecords`. Ends where the log ended at the time of the call or, with `follow`, when `signal` aborts.
   *
   * @throws UserError when the topic or partition does not exist, or when a stored block is damaged; the message then
   * gives topic, partition, offset and file.
   */
  read(topic: string, partition: number, options?: ReadOptions): AsyncIterable<RecordBatch>
  /**
   * The offset of the oldest kept record of a partition whose timestamp is `time` or later, EpochMs; the partition's
   * end where there is none. Later records may have earlier timestamps, since producers set them.
   *
   * @throws UserError when the topic or partition does not exist.
   */
  offsetAt(topic: string, partition: number, time: EpochMs): Promise<number>
  /**
   * Joins `group`, whose members divide the partitions of `topic` among themselves. Resolves when the first share of
   * this member is known. That share may be empty: when the group has more members than the topic has partitions, or
   * until other members have given up the partitions that are due to this one.
   *
   * @throws UserError when there is no such topic, or when no group can have this name.
   */
  join(group: string, topic: string, share?: ShareListener): Promise<GroupMember>
}

/**
 * Thrown by a commit to a partition that the member does not own, or no longer owns. Nothing of the commit was written.
 * The member's listener is told in its next `poll`, and the member may continue.
 */
export class PartitionLost extends UserError {}

/**
 * Is told which partitions are assigned and revoked. Called only within `join` and `poll`, one call at a time. So
 * nothing else is running on a partition, except what the listener's owner started itself. An error that a listener
 * throws comes out of that `join` or `poll`.
 */
export interface ShareListener {
  /**
   * These partitions belong to this member from now on. Called before any of their records arrive. `committed` is set,
   * positions start there, and `seek` is allowed. `member` is the one that polls, or that `join` is about to return.
   */
  onAssigned?(partitions: readonly number[], member: GroupMember): Promise<void>
  /**
   * These partitions are about to go to another member, which waits until this resolves: commit and write here what
   * must be handed over. With `lost`, another member already owns them, so nothing can be committed, only forgotten.
   */
  onRevoked?(partitions: readonly number[], lost: boolean): Promise<void>
}

export interface GroupMember extends AsyncDisposable {
  /** The partitions of this member, each with the next offset to consume as last committed; 0 if never committed. */
  committed: ReadonlyMap<number, number>
  /** Sets where `poll` continues in a partition. Positions start at `committed`. */
  seek(partition: number, offset: number): void
  /**
   * Returns the records that have arrived, at most `maxRecords`, from one partition. Partitions take turns. Small
   * appends that piled up come joined into one batch. While there is nothing, waits at most `timeoutMs`, then resolves
   * to undefined; an abort also resolves to undefined. Every call gives the event loop a turn.
   */
  poll(options: PollOptions): Promise<RecordBatch | undefined>
  /** True when this member has polled each of its partitions to the current end. Says nothing about other members. */
  idle(): Promise<boolean>
  /**
   * Writes all outputs and the partition's next offset to consume in one transaction. Makes missing topics. Resolves
   * when the transaction is under way, so that the caller can start on the next batch. `durable` settles when the
   * transaction is done, or has failed with nothing written.
   *
   * A partition has one commit at a time: await `durable` before the next. Commits of different partitions may overlap.
   *
   * With `lmdb:`, an output topic must not have been appended to before its first commit, because one LMDB environment
   * holds both offsets and outputs. Appending to it later is fine.
   *
   * @throws PartitionLost, from the call or from `durable`, when another member owns the partition.
   */
  commit(partition: number, nextOffset: number, outputs: Outputs): Promise<CommitUnderWay>
  /**
   * Asks the log whether a partition is still this member's: one that was stopped may not have heard of its loss. May
   * be called while the listener is told of the assignment. After a refusal the next poll tells the listener.
   *
   * @throws PartitionLost when another member owns the partition, or may take it.
   */
  confirm(partition: number): Promise<void>
}

/** The records that a commit writes, by topic. */
export type Outputs = Map<string, NewRecord[]>

export interface CommitUnderWay {
  /** Settles when the transaction is done, or has failed with nothing written. */
  durable: Promise<void>
}

export interface PollOptions {
  maxRecords: number
  /** Longest wait while there is nothing to return. */
  timeoutMs: number
  signal?: AbortSignal
}

export interface TopicSettings {
  partitions: number
  /** Records older than this may be deleted, by their timestamp against the newest record's. Undefined keeps all. */
  retention?: DurationMs
}

export interface Topic extends TopicSettings {
  name: string
  /** By partition. */
  offsets: OffsetRange[]
}

/** The oldest kept offset of a partition, and the offset that its next record will get. */
export interface OffsetRange {
  start: number
  end: number
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
  /**
   * When the record was put into the log, by the clock of whoever does it. A driver may cut off fractions of a
   * millisecond, and may write the present for a timestamp that lies ahead of its own clock.
   */
  timestamp: EpochMs
  /** Overrides the key's hash. */
  partition?: number
}

/**
 * Records of one partition as columns over one buffer, so that a hot path makes no object per record. Record i has
 * offset `offsets[i]`. Its key is bytes `keyStart[i]` to `valueStart[i]` (empty: no key), its value `valueStart[i]` to
 * `valueEnd[i]`. A batch stays valid as long as it is held.
 */
export interface RecordBatch {
  topic: string
  partition: number
  size: number
  offsets: Float64Array
  timestamps: Float64Array
  /**
   * The moment by which each record stood in the log, as far as the log itself vouches for it, EpochMs. Infinity, or no
   * column, where it does not. A timestamp is only what the producer says.
   */
  appended?: Float64Array
  bytes: Buffer
  keyStart: Uint32Array
  valueStart: Uint32Array
  valueEnd: Uint32Array
}

/** What a configuration needs from its log. */
export interface LogNeeds {
  /** The scorer's group. */
  group: string
  /** The topic that the scorer reads: the fewest partitions it needs, and how long it needs records to be kept. */
  input: { topic: string; partitions: number; retention: DurationMs }
  /** The topics that the scorer writes. */
  outputs: string[]
}
