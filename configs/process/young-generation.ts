import { setFlagsFromString } from 'node:v8'

/** The flag for the command line of a process that fits models: it holds the heap of new objects at 1 MB. */
export const SMALL_YOUNG_GENERATION = '--max-semi-space-size=1'

/**
 * Keeps V8 from growing the heap of new objects in this process from 1 MB to 16. The data of a fit lie outside of that
 * heap; its little garbage would only be spread over more memory. The peak of a boosting fit on 200,000 rows is 130 MB
 * instead of 145, and on two threads 146 instead of 165, in the same time.
 *
 * Call it before anything is loaded: a heap that has grown does not shrink.
 */
export function keepYoungGenerationSmall(): void {
  // V8 reads the largest size only when it makes the heap, so it is too late for that; but it reads the growth factor
  // each time. A factor below 2 cannot be given on a command line.
  setFlagsFromString('--semi-space-growth-factor=1')
}
