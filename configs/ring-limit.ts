import { z } from 'zod'

/** The smallest and the largest limit, as exponents of two. */
const [SMALLEST, LARGEST] = [4, 24]

/** How many events of a key a view may keep: a power of two, since rings double. */
export const ringLimit = z
  .number()
  .refine(
    (events) => Number.isInteger(Math.log2(events)) && events >= 2 ** SMALLEST && events <= 2 ** LARGEST,
    `give a power of two from ${2 ** SMALLEST} to ${2 ** LARGEST}`,
  )
