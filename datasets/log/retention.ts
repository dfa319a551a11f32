import { UserError } from '../../configs/user-error.ts'

/**
 * The error of a member whose topic deleted what it had not read yet, from offset `next` to before `start`. It is not
 * passed over in silence: whoever counts on every record must begin anew from what is kept.
 */
export function deletedUnread(topic: string, partition: number, next: number, start: number): UserError {
  return new UserError(
    `Records ${next} to ${start - 1} of "${topic}", partition ${partition}, were deleted by the topic's retention ` +
      'before they were read here. Nothing after them was read. Start the command again: it says how to go on. ' +
      'Give the topic a longer retention, or read it with more processes.',
  )
}
