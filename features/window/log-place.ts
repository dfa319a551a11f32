/** Where an event stands in the topic that producers write. */
export interface LogPlace {
  partition: number
  offset: number
}

/** Instead of a place: the event stands in history, or nobody noted where it stands. */
export const NO_PLACE = -1

const OFFSETS = 2 ** 42
const PARTITIONS = 2 ** 11

/** A place as one number that a float64 holds exactly; NO_PLACE beyond 2,048 partitions or 4 · 10^12 records. */
export function packPlace(partition: number, offset: number): number {
  return partition < PARTITIONS && offset < OFFSETS ? partition * OFFSETS + offset : NO_PLACE
}

export function unpackPlace(place: number): LogPlace | undefined {
  return place === NO_PLACE ? undefined : { partition: Math.floor(place / OFFSETS), offset: place % OFFSETS }
}
