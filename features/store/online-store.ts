import { UserError } from '../../configs/user-error.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'

/** The state of one key of one view, as `entity-state.ts` encodes it. */
export interface EntityState {
  view: string
  key: number | string
  bytes: Uint8Array
}

/** What history a base holds. */
export interface History {
  /** Dataset and file the backfill read, and where it stopped. */
  dataset: string
  file: string
  fileDigest: string
  /** Only events before this instant are in; undefined: all. */
  until?: EpochMs
  transactions: number
}

/** State that a backfill published: the same for every group, never changed afterwards. */
export interface Base {
  service: string
  /** Digest of the service's definition; state of another definition is of no use. */
  serviceDigest: string
  /** 1, 2, 3 …; 0 stands for no backfill, an empty start. */
  version: number
  history?: History
  /** Newest event time folded, −Infinity when nothing was. */
  watermark: EpochMs
  /** Decimal places of the amounts in the state. */
  minorUnits: number
}

/** One partition of a topic that a group reads: what has state of its own, and moves with it from process to process. */
export interface GroupPartition {
  group: string
  topic: string
  partition: number
}

/** How far the state of a group's partition has come. */
export interface Checkpoint {
  /** Next offset to fold. */
  offset: number
  watermark: EpochMs
  minorUnits: number
  /** Partitions the topic had: with another number keys belong to other partitions. Undefined in what older versions wrote. */
  partitions?: number
}

/**
 * Where the fold's state lives between processes: one blob per key of a view.
 *
 * A backfill publishes a *base*; a group's partition reads through to it and writes what it changed on top, so several
 * groups, and the partitions of one, can stand at different offsets over one history. A new base cuts over at once: state
 * that is opened after it starts from it, without a checkpoint, and the bases before the previous one are removed.
 */
export interface OnlineStore extends AsyncDisposable {
  /** The newest base of a service, undefined when none was published. */
  base(service: string): Promise<Base | undefined>
  /** Writes a new base and makes it the newest in one step once all states are written. Resolves to it. */
  publish(base: Omit<Base, 'version'>, states: Iterable<EntityState>): Promise<Base>
  /** The state of a group's partition on the newest base, to look at. */
  group(service: string, place: GroupPartition): Promise<GroupState>
  /** The same to go on from: from now on nobody who took it earlier can write it. */
  take(service: string, place: GroupPartition): Promise<OwnedState>
}

export interface GroupState {
  base: Base
  /** Undefined when nothing was written on this base. */
  checkpoint: Checkpoint | undefined
  /** States in the order of `keys`, the partition's own before the base's; undefined where neither has one. */
  read(view: string, keys: readonly (number | string)[]): Promise<(Uint8Array | undefined)[]>
}

/**
 * State with its one writer. Taking it shuts the writer before out (fencing), and not only once the new one has written: a
 * process that was stopped and comes back must not put newer states under a fold that is still replaying towards them,
 * which would count their events twice.
 */
export interface OwnedState extends GroupState, Disposable {
  /** As above. @throws UserError when the base was removed meanwhile: without it every customer would look new. */
  read(view: string, keys: readonly (number | string)[]): Promise<(Uint8Array | undefined)[]>
  /**
   * Writes the states and the checkpoint in one step, durable when the promise settles: after a kill both are there, or neither.
   * The bytes must not change before.
   *
   * @throws UserError when another has taken the state since; nothing is changed.
   */
  write(states: Iterable<EntityState>, checkpoint: Checkpoint): Promise<void>
}

/** The error of a writer that has been replaced. */
export function takenState({ group, topic, partition }: GroupPartition): UserError {
  return new UserError(
    `Another process has taken over the state of partition ${partition} of "${topic}" for group "${group}"; nothing was written by this one. Start it again: fd score`,
  )
}

/** The error of a reader or writer on a base that is no more. */
export function replacedState({ group }: GroupPartition): UserError {
  return new UserError(
    `The features that group "${group}" was reading are gone: newer backfills have replaced them. Start the command again; it goes on from the newest: fd score`,
  )
}
