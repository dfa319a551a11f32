import type { GroupPartition } from '../online-store.ts'

/**
 * How the online store lies in Redis. Every key begins with a hash tag, and a tag is one slot of a cluster:
 *
 *     {fd:card-fraud}:base               the newest base, JSON; the cut-over is one SET of it
 *     {fd:card-fraud}:loads              counter that numbers the loads
 *     {fd:card-fraud}:loading:18         lease of a load under way, expires when its process is gone
 *     {fd:card-fraud:17}customers:n42    state of key 42 in load 17, a base
 *     {fd:card-fraud:17:scorer:transactions:0}:owner         who may write the group's partition
 *     {fd:card-fraud:17:scorer:transactions:0}:checkpoint
 *     {fd:card-fraud:17:scorer:transactions:0}customers:n42    state of key 42 as the group's partition has changed it, over load 17
 *
 * What must share a slot does: a partition's states with its checkpoint and its owner, because they are one step; a
 * base's states among themselves, because 256 of them are one MSET and one MGET. So every command is legal in a
 * cluster, behind one address; the price is that one base lies on one node, whose memory bounds it. Bases of other
 * loads and services, and the groups' partitions, are spread.
 *
 * A load has a number of its own, apart from the version it becomes: two backfills at once never write the same keys.
 */
export interface ServiceKeys {
  base: string
  loads: string
  lease(load: number): string
  /** Tag of a load's states; with a group's partition, of what was written there over it. */
  tag(load: number, place?: GroupPartition): string
  /** Glob that finds the states and checkpoints of all loads and groups, and nothing else. */
  pattern: string
  /** The load that a key found by `pattern` belongs to. */
  loadOf(key: string): number
}

export function serviceKeys(prefix: string, service: string): ServiceKeys {
  const stem = `{${prefix}:${word(service)}`
  return {
    base: `${stem}}:base`,
    loads: `${stem}}:loads`,
    lease: (load) => `${stem}}:loading:${load}`,
    tag: (load, place) =>
      `${stem}:${load}${place === undefined ? '' : `:${word(place.group)}:${word(place.topic)}:${place.partition}`}}`,
    pattern: `${stem}:*`,
    loadOf: (key) => Number.parseInt(key.slice(stem.length + 1), 10),
  }
}

/** Start of the keys of a view's states under a tag. */
export const viewStem = (tag: string, view: string): string => `${tag}${word(view)}:`

/** These have no view before their colon, so no state can have their keys. */
export const checkpointKey = (tag: string): string => `${tag}:checkpoint`
export const ownerKey = (tag: string): string => `${tag}:owner`

/** The key's type is part of it: 42 and "42" are different entities. */
export const entityKey = (stem: string, key: number | string): string =>
  `${stem}${typeof key === 'number' ? 'n' : 's'}${key}`

/** Free of what has a meaning in our keys, in hash tags and in globs. */
function word(name: string): string {
  return encodeURIComponent(name).replaceAll('*', '%2A')
}
