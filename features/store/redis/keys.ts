import type { GroupPartition } from '../online-store.ts'

/**
 * How the online store lies in Redis. Every key begins with a hash tag, and a tag is one slot of a cluster:
 *
 *     {fd:card-fraud}:base               the newest base, JSON; the cut-over is one SET of it
 *     {fd:card-fraud}:bases              every base that was published, by version: a hash of JSON
 *     {fd:card-fraud}:loads              counter that numbers the loads
 *     {fd:card-fraud}:loading:18         lease of a load under way, expires when its process is gone
 *     {fd:card-fraud:17}customers:n42    state of key 42 in load 17, a base
 *     {fd:card-fraud:17:scorer:transactions:0}:owner         the name of its owner, who alone may write the partition
 *     {fd:card-fraud:17:scorer:transactions:0}:checkpoint    how far the group's partition has come
 *     {fd:card-fraud:17:scorer:transactions:0}customers:n42  state of key 42 as the partition changed it, over load 17
 *
 * Keys that must share a slot do: a partition's states with its checkpoint and its owner, because they are one step; a
 * base's states among themselves, because 256 of them are one MSET and one MGET. So every command is legal in a
 * cluster, behind one address. The price: one base lies on one node, whose memory bounds it. Bases of other loads and
 * services, and the groups' partitions, are spread over the nodes.
 *
 * A load has a number of its own, apart from the version that it becomes. So two backfills that run at the same time
 * never write the same keys.
 */
export interface ServiceKeys {
  base: string
  bases: string
  loads: string
  lease(load: number): string
  /** The tag of a load's states or, with a group's partition, of what that partition wrote over them. */
  tag(load: number, place?: GroupPartition): string
  /** A glob that matches the states, checkpoints and owners of all loads and groups, and nothing else. */
  pattern: string
  /** The load that a key found by `pattern` belongs to. */
  loadOf(key: string): number
}

export function serviceKeys(prefix: string, service: string): ServiceKeys {
  const stem = `{${prefix}:${word(service)}`
  const over = ({ group, topic, partition }: GroupPartition): string => `:${word(group)}:${word(topic)}:${partition}`
  return {
    base: `${stem}}:base`,
    bases: `${stem}}:bases`,
    loads: `${stem}}:loads`,
    lease: (load) => `${stem}}:loading:${load}`,
    tag: (load, place) => `${stem}:${load}${place === undefined ? '' : over(place)}}`,
    pattern: `${stem}:*`,
    loadOf: (key) => Number.parseInt(key.slice(stem.length + 1), 10),
  }
}

/** The start of the keys of a view's states under a tag. */
export const viewStem = (tag: string, view: string): string => `${tag}${word(view)}:`

/** The keys of checkpoint and owner have no view before their colon, so no state can have them. */
export const checkpointKey = (tag: string): string => `${tag}:checkpoint`
export const ownerKey = (tag: string): string => `${tag}:owner`

/** Whether a key is that of an owner, of any tag. */
export function isOwnerKey(key: Buffer): boolean {
  return key.toString('latin1', key.indexOf('}') + 1) === ':owner'
}

/** The key's type is part of it: 42 and "42" are different entities. */
export const entityKey = (stem: string, key: number | string): string =>
  `${stem}${typeof key === 'number' ? 'n' : 's'}${key}`

/** A name without the characters that mean something in our keys, in hash tags and in globs. */
function word(name: string): string {
  return encodeURIComponent(name).replaceAll('*', '%2A')
}
