import { UserError } from '../../configs/user-error.ts'
import { PartitionLost, type GroupMember } from '../../datasets/log/event-log.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { otherStream } from '../../datasets/table/schema-fit.ts'
import type { GroupPartition, GroupState, OwnedState } from '../../features/store/online-store.ts'
import { MAX_EVENTS, maxEventsOf, serviceDigest, type FeatureService } from '../../features/view/view.ts'

/** @throws UserError when the state was backfilled with another definition of the service. */
export function checkDefinition({ base }: OwnedState, service: FeatureService): void {
  if (base.version === 0 || base.serviceDigest === serviceDigest(service)) return
  throw new UserError(
    `The online features of "${service.name}" were backfilled with another definition of it ` +
      `than the model's, which keeps ${maxEventsOf(service) ?? MAX_EVENTS} events of a key (features.maxEvents). ` +
      `Run: fd features backfill --dataset ${base.history?.dataset ?? 'NAME'} --online`,
  )
}

/** @throws UserError when the champion was trained on records of another form than those in the state. */
export function checkSchema({ base, checkpoint }: GroupState, schema: DatasetSchema): void {
  const stream = checkpoint?.schema ?? base.schema
  const mismatch = stream === undefined ? undefined : otherStream('The champion', stream, schema)
  if (mismatch === undefined) return
  throw new UserError(
    `${mismatch}. If the records have changed with it, bring history in by the new dataset and score as another ` +
      'group: fd features backfill --dataset NAME --online; fd score --group NAME',
  )
}

/**
 * Adding partitions moves keys to partitions that lack their history: every customer that moved would look new.
 *
 * @throws UserError when the topic has another number of partitions than when the state was written.
 */
export function checkPartitions(topic: string, { checkpoint }: GroupState, count: number): void {
  if (checkpoint?.partitions === undefined || checkpoint.partitions === count) return
  throw new UserError(
    `Topic "${topic}" has ${count} partitions, and had ${checkpoint.partitions} when this group wrote its state: ` +
      'keys have moved to partitions that lack their history. ' +
      'Begin another log (FD_HOME, or ?prefix=NAME in the Kafka URL) with that many from the start ' +
      '(scorer.partitions), and backfill what was: fd features backfill --online',
  )
}

/**
 * No scorer leaves a state behind that is ahead of its outputs.
 *
 * @param committed as the log had it when it gave this process the partition. Nobody has committed since, if the state
 * was taken only after the log had confirmed that the partition is still this process's.
 * @throws UserError when the state has folded records of which this log has no outputs.
 */
export function checkOutputs(
  { group, topic, partition }: GroupPartition,
  { checkpoint }: OwnedState,
  committed: number,
): void {
  if (checkpoint === undefined || checkpoint.offset <= committed) return
  throw new UserError(
    `The state of group "${group}" has folded partition ${partition} of "${topic}" up to offset ` +
      `${checkpoint.offset}, but the log has its outputs only up to ${committed}: this log is not the one that the ` +
      'state comes from, or an older copy of it, and what lies between would never be scored. Put the log of that ' +
      'state back, or begin anew on this one, from the history that ends where it begins: ' +
      'fd features backfill --until DATE --online',
  )
}

/**
 * The offset at which to go on: that of the checkpoint, or without one the oldest of the log.
 *
 * @param start the offset of the log's oldest record.
 * @throws UserError when the log no longer has the records after the checkpoint.
 */
export function resumeAt({ topic, partition }: GroupPartition, { checkpoint }: OwnedState, start: number): number {
  const offset = checkpoint?.offset ?? start
  if (offset >= start) return offset
  throw new UserError(
    `The state of this group has folded partition ${partition} of "${topic}" up to offset ${offset}, ` +
      `but the log now begins at ${start}: what lies between is lost to it. ` +
      'Backfill the history that covers it, then start the scorer again: fd features backfill --online',
  )
}

/**
 * Throws the error, unless the partition is lost: its new owner goes on from the last accepted commit. The store may
 * say so before the log does, so the log is asked, where it can be.
 */
export async function unlessAnothers(
  member: GroupMember | undefined,
  partition: number,
  error: unknown,
): Promise<undefined> {
  const refusal: unknown = await member?.confirm(partition).catch((reason: unknown) => reason)
  if (![error, refusal].some((reason) => reason instanceof PartitionLost)) throw error
}
