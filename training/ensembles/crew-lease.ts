import type { Arena } from '../kernel/arena.ts'
import { type Crew, openCrew, threadsFor } from '../kernel/crew.ts'
import type { FitOptions } from './fit-options.ts'

/** A crew for one fit. Disposing the lease ends the crew only if the fit opened it. */
export interface CrewLease extends AsyncDisposable {
  crew: Crew
}

/** Takes the crew of `options`, or opens one over `arena` with as many threads as `threads` and `rows` call for. */
export async function leaseCrew(
  { crew, kernel = 'compiled' }: FitOptions,
  arena: Arena,
  threads: number,
  rows: number,
): Promise<CrewLease> {
  if (crew !== undefined) return { crew, [Symbol.asyncDispose]: () => Promise.resolve() }
  const own = await openCrew(arena, threadsFor(threads, rows), kernel)
  return { crew: own, [Symbol.asyncDispose]: () => own[Symbol.asyncDispose]() }
}
