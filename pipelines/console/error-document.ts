import { UserError } from '../../configs/user-error.ts'

/** What a command with `--json` prints on stdout when it fails. */
export interface ErrorDocument {
  error: {
    message: string
    /** The exit code of the command. */
    code: number
    /** The command that the message proposes; null when it proposes none. */
    next: string | null
  }
}

/** A wrong command line. Commander has told it on stderr. */
export class UsageError extends Error {
  /** The command whose help says what is right. */
  readonly next: string

  constructor(message: string, command: string) {
    super(message.replace(/^error: /, ''))
    this.next = `${command} --help`
  }
}

/** Errors whose document is a part of a result that was printed. */
const told = new WeakSet<object>()

/** Marks an error as told in the result, so that no second document is printed for it. */
export function answered<E extends object>(error: E): E {
  told.add(error)
  return error
}

export function wasAnswered(error: unknown): boolean {
  return typeof error === 'object' && error !== null && told.has(error)
}

/** The document of anything that a command throws. */
export function errorDocument(error: unknown): ErrorDocument {
  if (error instanceof UsageError) return { error: { message: error.message, code: 2, next: error.next } }
  if (error instanceof UserError) {
    return { error: { message: error.message, code: error.exitCode, next: proposedCommand(error.message) ?? null } }
  }
  const message = `This is a bug in fd: ${error instanceof Error ? error.message : String(error)}`
  return { error: { message, code: 2, next: null } }
}

/** Commands of `fd`: the word behind the name tells one from a sentence about fd. */
const COMMAND = new RegExp(
  String.raw`(?:\b[A-Z][A-Z0-9_]*=\S+ )*\bfd (?:archive|datasets|demo|doctor|estimators|features|models|produce|score` +
    String.raw`|services|topics|train|worker)\b(?:[^\n.,;()]|[.,;()](?! |$|\n|\)))*`,
)

/**
 * The command that a message proposes: what stands behind "Run:", else the first command of fd in it. It ends with its
 * sentence.
 */
export function proposedCommand(message: string): string | undefined {
  const run = /\b[Rr]un: (.+?)(?:[.,;]? *$|[.;] (?=[A-Z]))/m.exec(message)?.[1]
  if (run !== undefined && run !== '') return run.trim()
  return COMMAND.exec(message)?.[0]
    .replace(/ (?:or|and) .*$/, '')
    .trim()
}
