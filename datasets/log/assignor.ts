/** A member of a group, and the partitions that it claims to own. */
export interface Holder {
  id: string
  holds: readonly number[]
}

/**
 * Divides partitions 0 … `partitions` − 1 among the members. Every partition has one owner, and shares differ by at
 * most one. Within that, as many partitions as possible stay where they are. The result does not depend on the order of
 * the members. A partition that two members claim counts as unowned. Each share is in ascending order.
 */
export function stickyAssignment(members: readonly Holder[], partitions: number): Map<string, number[]> {
  const claims = claimsOn(members)
  const held = members.map(({ id, holds }) => ({
    id,
    holds: [...new Set(holds)].filter((number) => number < partitions && claims.get(number) === 1).toSorted(ascending),
  }))
  // The larger shares go to the members that own most: every other choice moves more partitions.
  const ranked = held.toSorted((a, b) => b.holds.length - a.holds.length || (a.id < b.id ? -1 : 1))
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
 * One round of cooperative rebalancing (KIP-429) towards the sticky assignment. No member gets a partition that another
 * still owns. A member that owns too many is assigned fewer and revokes the rest; the next round assigns those.
 */
export function cooperativeAssignment(members: readonly Holder[], partitions: number): Map<string, number[]> {
  const claims = claimsOn(members)
  const target = stickyAssignment(members, partitions)
  return new Map(
    members.map(({ id, holds }) => {
      const claimedByOthers = (number: number): boolean =>
        (claims.get(number) ?? 0) !== (holds.includes(number) ? 1 : 0)
      return [id, (target.get(id) ?? []).filter((number) => !claimedByOthers(number))]
    }),
  )
}

/** How many members claim each partition. */
function claimsOn(members: readonly Holder[]): Map<number, number> {
  const claims = new Map<number, number>()
  for (const { holds } of members) {
    for (const number of new Set(holds)) claims.set(number, (claims.get(number) ?? 0) + 1)
  }
  return claims
}

function ascending(a: number, b: number): number {
  return a - b
}
