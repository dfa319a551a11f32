import { setFlagsFromString } from 'node:v8'

/** For the command line of a process that fits models. */
export const STEADY_YOUNG_GENERATION = '--semi-space-growth-factor=1'

/**
 * Keeps V8 from growing the heap of new objects in this process and the threads it starts, from 1 MB to 16. What a fit works on
 * lies outside of that heap; the little it leaves to be collected would only be spread over more memory. The peak of a boosting fit on
 * 200,000 rows is 130 MB instead of 145, on two threads 147 instead of 165, in the same time. To be called before anything is
 * loaded: a space that has grown stays.
 */
export function keepYoungGenerationSteady(): void {
  setFlagsFromString(STEADY_YOUNG_GENERATION)
}
