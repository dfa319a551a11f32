import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'
import { UserError } from '../../configs/user-error.ts'
import type { TableLook } from '../../datasets/guess/look.ts'
import { guessRoles, type GivenRoles, type Guess } from '../../datasets/guess/roles.ts'

/** Where a person answers. */
export interface Terminal {
  input: Readable
  output: Writable
}

/**
 * Asks a person for each role that no option gives. An empty answer takes the guess, `none` leaves the role out.
 * An answer that is no column of the file is asked for again.
 *
 * @returns the roles as the person gave them.
 * @throws UserError when the input ends before all is answered.
 */
export async function askRoles(look: TableLook, options: GivenRoles, { input, output }: Terminal): Promise<GivenRoles> {
  const lines = createInterface({ input, output })
  const closed = new Promise<never>((_, reject) =>
    lines.once('close', () => reject(new UserError('Ended before all was answered. Nothing was written.'))),
  )
  closed.catch(() => undefined)
  const names = look.columns.map(({ name }) => name)
  output.write(`The columns of ${look.file}: ${names.slice(0, 60).join(', ')}${names.length > 60 ? ' …' : ''}\n`)
  output.write('Enter takes what is proposed, none leaves it out.\n')
  let given = options
  try {
    for (const role of ROLES) {
      while (given[role] === undefined) {
        const proposed = proposal(look, given, role)
        const answer = (await Promise.race([lines.question(`${QUESTIONS[role]} [${proposed}]: `), closed])).trim()
        given = taken(look, given, role, answer === '' ? proposed : answer, output)
      }
    }
  } finally {
    lines.close()
  }
  return given
}

/** In this order, since what is taken is proposed for nothing else. */
const ROLES = ['time', 'amount', 'label', 'id', 'entity'] as const
type Role = (typeof ROLES)[number]

const QUESTIONS: Record<Role, string> = {
  time: 'When a transaction was',
  amount: 'Its amount',
  label: 'Whether it was fraud',
  id: 'Its id',
  entity: 'Whose history counts, NAME=COLUMN, several with commas',
}

/** What would be taken without an answer. */
function proposal(look: TableLook, given: GivenRoles, role: Role): string {
  const guess = guessOf(look, given)
  if (guess === undefined) return 'none'
  const { id, time, amount, label, entities } = guess.schema
  if (role === 'entity') return entities.map(({ name, column }) => `${name}=${column}`).join(',') || 'none'
  if (role === 'time') return time === 'none' ? 'none' : time.column
  return { id: id?.column, amount: amount.column, label: label?.column }[role] ?? 'none'
}

function guessOf(look: TableLook, given: GivenRoles): Guess | undefined {
  try {
    return guessRoles(look, given)
  } catch (error) {
    if (error instanceof UserError) return undefined
    throw error
  }
}

/** The roles with an answer, or without it where it names no column, which is told. */
function taken(look: TableLook, given: GivenRoles, role: Role, answer: string, output: Writable): GivenRoles {
  const next: GivenRoles =
    role === 'entity'
      ? { ...given, entity: answer === 'none' ? [] : answer.split(',').map((each) => each.trim()) }
      : { ...given, [role]: answer }
  try {
    guessRoles(look, next)
    return next
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    // The amount is asked for after the time: where it cannot be guessed, that is no fault of the answer.
    if (role === 'time' && error.message.includes('--amount')) return next
    output.write(`${error.message}\n`)
    return given
  }
}
