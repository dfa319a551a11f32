import { UserError } from '../../configs/user-error.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'

/** The state of one key of one view, as `fold/entity-state.ts` encodes it. */
export interface EntityState {
  view: string
  key: number | string
  bytes: Uint8Array
}

/** Which history a base holds. */
export interface History {
  /** Dataset and file that the backfill read. */
  dataset: string
  file: string
  fileDigest: string
  /** Where the backfill stopped: only events before this instant are in. Undefined: all are. */
  until?: EpochMs
  /** Whether the backfill ordered the file by time first. Undefined: it read it as it is. */
  sort?: true
  transactions: number
}

/** State that a backfill published. It is the same for every group and never changes afterwards. */
export interface Base {
  service: string
  /** Digest of the service's definition. State of another definition is of no use. */
  serviceDigest: string
  /** 1, 2, 3 …; 0 stands for an empty start without a backfill. */
  version: number
  history?: History
  /** The newest event time that was folded, −Infinity when there was none. */
  watermark: EpochMs
  /** Decimal places of the amounts in the state. */
  minorUnits: number
  /** The schema by which its events were read. Undefined in what older versions wrote. */
  schema?: DatasetSchema
}

/** A partition of a topic that a group reads. It has state of its own, which moves with it from process to process. */
export interface GroupPartition {
  group: string
  topic: string
  partition: number
}

/** How far the state of a group's partition has come. */
export interface Checkpoint {
  /** The next offset to fold. */
  offset: number
  /** As in `Base`, and so is `minorUnits`. */
  watermark: EpochMs
  minorUnits: number
  /**
   * How many partitions the topic had: with another number, keys belong to other partitions. Undefined in what older
   * versions wrote.
   */
  partitions?: number
  /** As in `Base`. */
  schema?: DatasetSchema
}

/**
 * The port of the online store: where the fold's state lives between processes, one blob for each key of a view.
 *
 * **Bases and groups.** A backfill publishes a base. The partition of a group reads through to the base and writes what
 * it changed on top. So several groups, and the partitions of one group, can stand at different offsets over one
 * history. A new base cuts over at once: state opened after that starts from the new base, without a checkpoint. The
 * previous base stays, with what groups wrote on it, for scorers that have it open. Bases before that one are removed,
 * with what groups wrote on them.
 *
 * **Ownership and fencing.** Anybody may look at the state of a group's partition (`group`). Only one may write it: the
 * one who took it last (`take`). Taking shuts the writer before out at once, not only when the new one first writes.
 * Otherwise a process that was stopped and comes back could put newer states beneath a fold that is still replaying
 * towards them, and their events would be counted twice. Other groups, topics and partitions are not affected.
 *
 * The log says who may take a state. Who was stopped after the log gave it the partition may come back when another has
 * partition and state. So `take` first looks who has the state, then asks whether the partition is still the caller's,
 * and takes the state only from whom it saw there; else it begins again. Nobody whom the log still calls the owner is
 * shut out in this way.
 *
 * **Atomicity and durability.** A base becomes visible in one step, after all its states are written; a killed
 * `publish` leaves nothing to be seen. A write puts states and checkpoint in place in one step: after a kill both are
 * there, or neither. They are durable when the promise resolves. What a server makes of "durable" is in its driver's
 * file; a server that lost acknowledged state is found out.
 *
 * **Errors.** What the user can mend is a UserError, here `takenState` and `replacedState`, and those of the drivers: a
 * server away or refusing, a damaged file, a record of a newer `fd`, state that was lost. A driver must
 * never report a state as absent because it was lost: then every customer would look new.
 */
export interface OnlineStore extends AsyncDisposable {
  /** The newest base of a service, undefined when none was published. */
  base(service: string): Promise<Base | undefined>
  /** All bases that were published, oldest first, also those whose states are gone. Older versions kept the newest. */
  bases(service: string): Promise<Base[]>
  /** Writes a new base and makes it the newest. Resolves to it. */
  publish(base: Omit<Base, 'version'>, states: Iterable<EntityState>): Promise<Base>
  /** The state of a group's partition on the newest base, to look at. */
  group(service: string, place: GroupPartition): Promise<GroupState>
  /**
   * The same state, to go on from: from now on nobody who took it earlier can write it.
   *
   * @param confirm rejects when the partition is no longer the caller's. Called once, and again each time that another
   * took the state meanwhile.
   * @throws what `confirm` throws. Nothing is changed then.
   */
  take(service: string, place: GroupPartition, confirm: () => Promise<void>): Promise<OwnedState>
}

/** The state of a group's partition over one base. */
export interface GroupState {
  base: Base
  /** Undefined when the partition has written nothing on this base. */
  checkpoint: Checkpoint | undefined
  /** States in the order of `keys`: the partition's own, else the base's, undefined where neither has one. */
  read(view: string, keys: readonly (number | string)[]): Promise<(Uint8Array | undefined)[]>
}

/**
 * The state of a group's partition with the right to write. A driver returns an object with own methods, not an
 * instance: callers copy it to wrap a method (`{ ...state, write }`).
 */
export interface OwnedState extends GroupState, Disposable {
  /**
   * As in `GroupState`.
   *
   * @throws UserError when the base has been removed meanwhile.
   */
  read(view: string, keys: readonly (number | string)[]): Promise<(Uint8Array | undefined)[]>
  /**
   * Writes the states and the checkpoint in one step. The bytes must not change before the promise settles.
   *
   * @throws UserError when another has taken the state since, or the base has been removed. Nothing is changed then.
   */
  write(states: Iterable<EntityState>, checkpoint: Checkpoint): Promise<void>
}

/** The error of a writer that another has replaced. */
export function takenState({ group, topic, partition }: GroupPartition): UserError {
  return new UserError(
    `Another process has taken over the state of partition ${partition} of "${topic}" for group "${group}"; ` +
      'nothing was written by this one. Start it again: fd score',
  )
}

/** The error of a reader or writer whose base has been removed. */
export function replacedState({ group }: GroupPartition): UserError {
  return new UserError(
    `The features that group "${group}" was reading are gone: newer backfills have replaced them. ` +
      'Start the command again; it goes on from the newest: fd score',
  )
}
