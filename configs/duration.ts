import { z } from 'zod'

const MS_OF_UNIT: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A length of time in YAML, `7d`, `12h`, `30m`, `5s` or `0.5d`, as milliseconds. */
export const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, 'give a length of time such as 7d, 12h, 30m')
  .transform((text) => Math.round(parseFloat(text) * MS_OF_UNIT[text.replace(/^[\d.]+/, '')]))

/** The same, or milliseconds as a number. */
export const durationOrMs = z.union(
  [z.number().min(0), duration],
  'give a length of time such as 1h, 30m, or a number of milliseconds',
)
