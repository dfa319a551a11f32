/** A member of a group, and the partitions it says it has. */
export interface Holder {
  id: string
  holds: readonly number[]
}

/**
 * Divides partitions 0 … `partitions` − 1 among the members: every partition has one, shares differ by at most one, and as
 * many partitions as that allows stay where they are. Whoever computes it from the same members gets the same, in
 * whatever order they come. A partition that two members say they have counts as nobody's. Shares are in ascending order.
 */
export function stickyAssignment(members: readonly Holder[], partitions: number): Map<string, number[]> {
  const claims = claimsOn(members)
  const held = members.map(({ id, holds }) => ({
    id,
    holds: [...new Set(holds)].filter((number) => number < partitions && claims.get(number) === 1).toSorted(ascending),
  }))
  // The larger shares go to those who have most: every other choice takes more away.
  const ranked = held.toSorted((a, b) =>
    a.holds.length === b.holds.length ? (a.id < b.id ? -1 : 1) : b.holds.length - a.holds.length,
  )
  const least = Math.floor(partitions / members.length)
  const larger = partitions % members.length
  const shares = ranked.map(({ id, holds }, rank) => {
    const size = least + (rank < larger ? 1 : 0)
    return { id, size, numbers: holds.slice(0, size) }
  })
  const kept = new Set(shares.flatMap(({ numbers }) => numbers))
  const free = Array.from({ length: partitions }, (_, number) => number).filter((number) => !kept.has(number))
  for (const { size, numbers } of shares) numbers.push(...free.splice(0, size - numbers.length))
  return new Map(shares.map(({ id, numbers }) => [id, numbers.sort(ascending)]))
}

/**
 * One round towards the sticky assignment in which nobody gets a partition that another still has: who has too much is
 * given less, gives it up, and the round after hands it over (cooperative rebalancing, KIP-429).
 */
export function cooperativeAssignment(members: readonly Holder[], partitions: number): Map<string, number[]> {
  const claims = claimsOn(members)
  const target = stickyAssignment(members, partitions)
  return new Map(
    members.map(({ id, holds }) => [
      id,
      (target.get(id) ?? []).filter((number) => (claims.get(number) ?? 0) === (holds.includes(number) ? 1 : 0)),
    ]),
  )
}

/** How many members say that they have a partition. */
function claimsOn(members: readonly Holder[]): Map<number, number> {
  const claims = new Map<number, number>()
  for (const { holds } of members)
    for (const number of new Set(holds)) claims.set(number, (claims.get(number) ?? 0) + 1)
  return claims
}

function ascending(a: number, b: number): number {
  return a - b
}
