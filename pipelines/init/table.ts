import { UserError } from '../../configs/user-error.ts'
import type { TableLook } from '../../datasets/guess/look.ts'
import type { GivenRoles, Guess } from '../../datasets/guess/roles.ts'
import type { Output } from '../console/output.ts'

/** What a file seems to be, after a look at all of it. */
export interface TableGuess {
  guess: Guess
  rows: number
  /** Share of frauds among the labelled rows that were looked at. */
  frauds: number
  changes: string[]
}

/**
 * Looks at a file, asks a person for its roles where one sits at a terminal, and checks them against the whole file.
 *
 * @param ask whether a person may be asked.
 * @throws UserError for a file that cannot be read, and for roles that it does not have.
 */
export async function lookAtTable(
  file: string,
  given: GivenRoles,
  ask: boolean,
  output: Pick<Output, 'note'>,
): Promise<TableGuess> {
  try {
    return await look(file, given, ask, output)
  } catch (error) {
    // Elsewhere a table is given by --data.
    if (error instanceof UserError) throw new UserError(error.message.replaceAll('--data FILE', '--from FILE'))
    throw error
  }
}

async function look(
  file: string,
  given: GivenRoles,
  ask: boolean,
  { note }: Pick<Output, 'note'>,
): Promise<TableGuess> {
  const [{ lookAt }, { guessRoles }, { checkWhole }] = await Promise.all([
    import('../../datasets/guess/look.ts'),
    import('../../datasets/guess/roles.ts'),
    import('../../datasets/guess/whole-file.ts'),
  ])
  const seen = await lookAt(file)
  const { stdin: input, stderr: output } = process
  const person = ask && input.isTTY && output.isTTY
  const roles = person ? await (await import('./ask.ts')).askRoles(seen, given, { input, output }) : given
  const first = guessRoles(seen, roles)
  note(`Looking at the whole of ${file}`)
  const { guess, rows, changes } = await checkWhole(file, first)
  return { guess, rows, changes, frauds: fraudShare(seen, guess) }
}

const FRAUD = new Set(['1', '1.0', 'true', 'yes', 'y', 't'])

function fraudShare(look: TableLook, { schema: { label } }: Guess): number {
  const cells = look.columns.find(({ name }) => name === label?.column)?.cells ?? []
  const known = cells.filter((cell) => cell.trim() !== '')
  return known.length === 0 ? 0 : known.filter((cell) => FRAUD.has(cell.trim().toLowerCase())).length / known.length
}
