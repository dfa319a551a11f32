/**
 * The low 32 bits of a transaction's id; of text, a hash. Among the events of its key, a fraud label finds its
 * transaction by event time and these bits. Two transactions of one key and one time that share the bits would be
 * confused, about once in 4 billion pairs.
 */
export function hashId(id: number | string): number {
  if (typeof id === 'number') return (id ^ Math.imul(id / 0x1_0000_0000, 0x9e3779b1)) >>> 0
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/**
 * Another 32 bits of the id. Both together are the id itself where it is a whole number, and tell two texts apart but
 * for one pair in 10^19.
 */
export function hashIdHigh(id: number | string): number {
  if (typeof id === 'number') return Math.floor(id / 0x1_0000_0000)
  let hash = 0x9747_b28c
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x5bd1_e995) ^ (hash >>> 13)
  return hash >>> 0
}
