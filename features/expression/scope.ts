import type { Term } from './term.ts'

/** The names of an expression and what stands behind them. */
export interface Scope {
  /**
   * The value behind a name, as a term of its own.
   *
   * @param quoted whether it is written `column("NAME")`, as names can be that are no identifiers.
   * @returns a text where the name cannot be used: what to do instead. Undefined where there is none.
   */
  find: (name: string, quoted: boolean) => Term | string | undefined
  /** The function that quotes a name: `column` in `column("V-1")`. */
  quote: string
  /** All names, for messages. */
  names: readonly string[]
}
