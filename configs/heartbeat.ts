/** So many intervals in a row without a sign of life mean that the owner of a run or of a job is gone. */
export const SILENT_BEATS = 6

/** Time between two signs of life where none is configured, ms. */
export const HEARTBEAT_MS = 5_000

/**
 * The longest time between two signs of life, ms. Whoever watches for signs waits several intervals. And a timer of
 * more than 2^31 − 1 ms would fire at once, so that a living owner would be taken for gone.
 */
export const LONGEST_HEARTBEAT_MS = 60 * 60_000
