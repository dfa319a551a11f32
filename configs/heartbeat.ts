/** So many intervals in a row without a sign of life mean that the owner of a run or of a job is gone. */
export const SILENT_BEATS = 6

/** Time between two signs of life where none is configured, ms. */
export const HEARTBEAT_MS = 5_000
