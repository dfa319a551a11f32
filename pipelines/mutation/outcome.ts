/** What became of the mutants of a subject: those that end the test or its time count as noticed. */
export interface Outcome {
  readonly subject: string
  readonly mutants: number
  readonly noticed: number
  readonly survived: number
  readonly untested: number
  /** 0 where there are no mutants. */
  readonly percent: number
}

/** Of 100 mutants of a subject, so many must be noticed. */
const LEAST = 90

/** @param states Stryker's state of each mutant of the subject. */
export function outcomeOf(subject: string, states: readonly string[]): Outcome {
  const having = (...wanted: string[]): number => states.filter((state) => wanted.includes(state)).length
  const noticed = having('Killed', 'Timeout', 'RuntimeError')
  const survived = having('Survived')
  const untested = having('NoCoverage')
  const mutants = noticed + survived + untested
  const percent = mutants === 0 ? 0 : Math.floor((1_000 * noticed) / mutants) / 10
  return { subject, mutants, noticed, survived, untested, percent }
}

/** A subject without mutants is not guarded: its files were moved, or none of them could be changed. */
export function isGuarded({ percent }: Outcome): boolean {
  return percent >= LEAST
}
