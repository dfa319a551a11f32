// Scoring.

/** Rows that go down trees together, a bit of a vector each: row r is bit r / 16 of byte r mod 16. */
const CONVOY: usize = 128
// Bytes of the records: a ladder, a list of masks, a node of a walk. See `score.ts`.
const LADDER = 32
const MASKS = 16
const WALK_NODE: u32 = 16

export function orderKeys(keys: usize, values: usize, start: i32, end: i32): void {
  const missing = i32x4.splat(0x7fffffff)
  for (let at = <usize>start << 2; at < <usize>end << 2; at += 16) {
    const value = v128.load(values + at)
    // Read as whole numbers, the bits of negative floats run backwards: so all but the sign are flipped.
    const key = v128.xor(value, i32x4.shr_u(i32x4.shr_s(value, 31), 1))
    v128.store(keys + at, v128.bitselect(key, missing, f32x4.eq(value, value)))
  }
}

export function markRanks(ladders: usize, keys: usize, stride: usize, start: i32, end: i32): void {
  for (let feature = start; feature < end; feature++) {
    const ladder = ladders + <usize>feature * LADDER
    const least = load<i32>(ladder, 4)
    const greatest = load<i32>(ladder, 8)
    const shift = load<u32>(ladder, 12)
    const starts = load<usize>(ladder, 16)
    const thresholds = load<usize>(ladder, 20)
    const marks = load<usize>(ladder, 24)
    memory.fill(marks, 0, load<usize>(ladder, 28))
    let at = keys + load<usize>(ladder)
    for (let bit = 1; bit < 256; bit <<= 1) {
      for (let byte = marks; byte < marks + 16; byte++, at += stride) {
        const key = load<i32>(at)
        const place = <u32>(max(min(key, greatest), least) - least) >> shift
        const mark = byte + (rankOf(key, place, starts, thresholds) << 4)
        store<u8>(mark, <u8>(<i32>load<u8>(mark) | bit))
      }
    }
  }
}

@inline
function rankOf(key: i32, place: u32, starts: usize, thresholds: usize): usize {
  const wide = i32x4.splat(key)
  let rank = <usize>load<u16>(starts + (<usize>place << 1))
  // Four thresholds at a time. Four are seldom too few, so the branch costs next to nothing.
  let below: i32
  do {
    below = popcnt(i32x4.bitmask(i32x4.gt_s(wide, v128.load(thresholds + (rank << 2)))))
    rank += <usize>below
  } while (below == 4)
  return rank
}

export function gatherMasks(lists: usize, start: i32, end: i32): void {
  for (let list = start; list < end; list++) {
    const record = lists + <usize>list * MASKS
    const marks = load<usize>(record)
    const masks = load<usize>(record, 4)
    const size = load<usize>(record, 8)
    let above = load<i32>(record, 12) == 0 ? v128.load(marks + size + 16) : i32x4.splat(0)
    for (let at = size; at != 0; at -= 16) {
      above = v128.or(above, v128.load(marks + at))
      v128.store(masks + at - 16, above)
    }
  }
}

export function addByBits(sums: usize, scratch: usize, trees: usize, start: i32, end: i32): void {
  const reach = scratch + 2 * CONVOY
  v128.store(reach, i32x4.splat(-1))
  for (let tree = start; tree < end; tree++) {
    let at = load<usize>(trees + (<usize>tree << 2))
    const nodes = load<usize>(at)
    const bits = load<i32>(at, 4)
    const leaves = load<usize>(at, 8)
    let slot = reach + 16
    at += 12
    for (const last = at + (nodes << 3); at < last; at += 8) {
      const here = v128.load(load<usize>(at, 4))
      const right = v128.and(here, v128.load(load<usize>(at)))
      v128.store(slot, v128.xor(here, right))
      v128.store(slot, right, 16)
      slot += 32
    }
    for (let bit = 0; bit < bits; bit++) {
      let rows = i32x4.splat(0)
      const last = at + (load<usize>(at) << 2)
      while (at < last) {
        at += 4
        rows = v128.or(rows, v128.load(load<usize>(at)))
      }
      at += 4
      v128.store(scratch + (<usize>bit << 4), rows)
    }
    for (let bit = bits; bit < (bits > 8 ? 16 : 8); bit++) v128.store(scratch + (<usize>bit << 4), i32x4.splat(0))
    transpose(scratch)
    if (bits > 8) {
      transpose(scratch + CONVOY)
      addMany(sums, scratch, leaves)
    } else addFew(sums, scratch, leaves)
  }
}

/**
 * Turns eight vectors of bits into a byte for each of the 128 rows, in place. Vector v holds bit v of all rows: that
 * of row 16 k + b is bit k of byte b.
 */
@inline
function transpose(at: usize): void {
  // Byte b of the eight vectors is an 8 × 8 matrix of bits. To transpose it, two opposite quarters of it are swapped,
  // then two quarters of each quarter, then two of each of those.
  const quarters = i8x16.splat(0x0f)
  for (let one = at; one < at + 64; one += 16) swapBits(one, one + 64, 4, quarters)
  const pairs = i8x16.splat(0x33)
  swapBits(at, at + 32, 2, pairs)
  swapBits(at + 16, at + 48, 2, pairs)
  swapBits(at + 64, at + 96, 2, pairs)
  swapBits(at + 80, at + 112, 2, pairs)
  const singles = i8x16.splat(0x55)
  for (let one = at; one < at + 128; one += 32) swapBits(one, one + 16, 1, singles)
}

@inline
function swapBits(one: usize, other: usize, shift: i32, mask: v128): void {
  const a = v128.load(one)
  const b = v128.load(other)
  const swap = v128.and(v128.xor(i16x8.shr_u(a, shift), b), mask)
  v128.store(one, v128.xor(a, i16x8.shl(swap, shift)))
  v128.store(other, v128.xor(b, swap))
}

/** Adds leaves whose numbers are bytes. */
@inline
function addFew(sums: usize, numbers: usize, leaves: usize): void {
  for (const last = numbers + CONVOY; numbers < last; numbers += 4, sums += 16) {
    addFour(
      sums,
      leaves + (<usize>load<u8>(numbers) << 2),
      leaves + (<usize>load<u8>(numbers, 1) << 2),
      leaves + (<usize>load<u8>(numbers, 2) << 2),
      leaves + (<usize>load<u8>(numbers, 3) << 2),
    )
  }
}

/** Adds leaves whose numbers have two bytes: all lower bytes, then all higher ones. */
@inline
function addMany(sums: usize, numbers: usize, leaves: usize): void {
  for (const last = numbers + CONVOY; numbers < last; numbers += 4, sums += 16) {
    addFour(
      sums,
      leaves + offsetAt(numbers),
      leaves + offsetAt(numbers + 1),
      leaves + offsetAt(numbers + 2),
      leaves + offsetAt(numbers + 3),
    )
  }
}

/** Four times the number of a leaf, whose lower byte is at `low`. */
@inline
function offsetAt(low: usize): usize {
  return (<usize>load<u8>(low) << 2) | (<usize>load<u8>(low, CONVOY) << 10)
}

@inline
function addFour(sums: usize, a: usize, b: usize, c: usize, d: usize): void {
  let leaf = v128.load32_zero(a)
  leaf = v128.load32_lane(b, leaf, 1)
  leaf = v128.load32_lane(c, leaf, 2)
  leaf = v128.load32_lane(d, leaf, 3)
  v128.store(sums, f32x4.add(v128.load(sums), leaf))
}

export function addByWalk(
  sums: usize, keys: usize, stride: usize, roots: usize, trees: i32, start: i32, end: i32,
): void {
  for (const last = roots + (<usize>trees << 2); roots < last; roots += 4) {
    const root = load<usize>(roots)
    for (let row = <usize>start; row < <usize>end; row += 8) {
      walkEight(sums + (row << 2), keys + row * stride, stride, root)
    }
  }
}

@inline
function walkEight(sums: usize, keys: usize, stride: usize, root: usize): void {
  const keys4 = keys + (stride << 2)
  let a = root, b = root, c = root, d = root, e = root, f = root, g = root, h = root
  // Children lie behind their parents and a leaf is its own child. So the sum of the addresses grows with every step,
  // until all eight rows have reached a leaf.
  for (let before: usize = 0, now = root << 3; now != before; ) {
    before = now
    for (let step = 0; step < 3; step++) {
      a = nextNode(a, keys)
      b = nextNode(b, keys + stride)
      c = nextNode(c, keys + (stride << 1))
      d = nextNode(d, keys + 3 * stride)
      e = nextNode(e, keys4)
      f = nextNode(f, keys4 + stride)
      g = nextNode(g, keys4 + (stride << 1))
      h = nextNode(h, keys4 + 3 * stride)
    }
    now = a + b + c + d + e + f + g + h
  }
  addFour(sums, a + 12, b + 12, c + 12, d + 12)
  addFour(sums + 16, e + 12, f + 12, g + 12, h + 12)
}

@inline
function nextNode(node: usize, keys: usize): usize {
  const column = load<u32>(node)
  const key = load<i32>(keys + <usize>(column & ~1)) + <i32>(column & 1)
  return load<usize>(node, 8) + <usize>(<u32>(key > load<i32>(node, 4)) * WALK_NODE)
}
