const DIGIT = 11
const RADIX = 1 << DIGIT
/** The platform's sort is faster on fewer values than this. */
const FEW = 2048

/**
 * Sorts the values, of which none is NaN, in place, rising, and returns them. −0 comes before 0. It is a radix sort,
 * several times as fast as the platform's sort on many values. `scratch` is at least as long as `values`.
 */
export function sortFloats(values: Float32Array, scratch: Uint32Array): Float32Array {
  if (values.length < FEW) return values.sort()
  const keys = new Uint32Array(values.buffer, values.byteOffset, values.length)
  // Floats sort like their bits once all bits of negative floats are flipped, and the sign bit of the others.
  for (let i = 0; i < keys.length; i++) keys[i] ^= (keys[i] >> 31) | 0x8000_0000
  let [from, to] = [keys, scratch.subarray(0, keys.length)]
  for (let shift = 0; shift < 32; shift += DIGIT) {
    sortDigit(from, to, shift)
    ;[from, to] = [to, from]
  }
  for (let i = 0; i < from.length; i++) keys[i] = from[i] ^ (from[i] >> 31 === 0 ? 0xffff_ffff : 0x8000_0000)
  return values
}

/** Copies the keys, sorted by one digit. Keys with equal digits keep their order. */
function sortDigit(from: Uint32Array, to: Uint32Array, shift: number): void {
  const next = new Uint32Array(RADIX)
  for (let i = 0; i < from.length; i++) next[(from[i] >>> shift) & (RADIX - 1)]++
  for (let digit = 0, at = 0; digit < RADIX; digit++) {
    const count = next[digit]
    next[digit] = at
    at += count
  }
  for (let i = 0; i < from.length; i++) to[next[(from[i] >>> shift) & (RADIX - 1)]++] = from[i]
}
