const SEED = 0x9747b28c
const M = 0x5bd1e995

/**
 * MurmurHash2, 32 bit, signed, as Kafka's Java client computes it (`org.apache.kafka.common.utils.Utils.murmur2`), so
 * that a key has the same partition whichever client produced the record.
 */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  let hash = SEED ^ length
  let at = 0
  for (; at + 4 <= length; at += 4) {
    let word = Math.imul(bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24), M)
    word = Math.imul(word ^ (word >>> 24), M)
    hash = Math.imul(hash, M) ^ word
  }
  const rest = length - at
  if (rest === 3) hash ^= bytes[at + 2] << 16
  if (rest >= 2) hash ^= bytes[at + 1] << 8
  if (rest >= 1) hash = Math.imul(hash ^ bytes[at], M)
  hash = Math.imul(hash ^ (hash >>> 13), M)
  return hash ^ (hash >>> 15)
}

/** The partition of a key among `partitions`: Kafka's `toPositive(murmur2(key)) % partitions`. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}
