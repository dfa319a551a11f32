// The loops over rows of the tree trainers, in AssemblyScript (its own suffix, since it is no TypeScript: sizes, loads and
// stores are WebAssembly's). `kernel.ts` says what each function does and what it is given; `kernel-twin.ts` does the same in
// plain TypeScript, to the last bit. Addresses are bytes in the one shared memory. Nothing is allocated here and nothing kept.

/** Rows whose gradients are summed up together. */
const BLOCK = 4096
/** Rows that are fetched into the cache together. */
const TOUCHED = 64

export function addRows(histogram: usize, bins: usize, stride: usize, pairs: usize, rows: usize, start: i32, end: i32): i32 {
  let seen: u64 = 0
  for (let first = start; first < end; first += TOUCHED) {
    const last = min(first + TOUCHED, end)
    // Rows that lie apart are not fetched ahead of use by the processor itself. Touching some of them first, in a loop so
    // short that many loads are under way at once, saves waiting for each in turn: up to three times as fast.
    const span = load<u32>(rows + (<usize>(last - 1) << 2)) - load<u32>(rows + (<usize>first << 2))
    for (let i = span > <u32>(3 * TOUCHED) ? first : last; i < last; i++) {
      const row = <usize>load<u32>(rows + (<usize>i << 2))
      seen |= load<u64>(pairs + (row << 3)) | <u64>load<u8>(bins + row * stride) | <u64>load<u8>(bins + row * stride + stride - 1)
    }
    for (let i = first; i < last; i++) {
      const row = <usize>load<u32>(rows + (<usize>i << 2))
      addRow(histogram, bins + row * stride, stride, load<i64>(pairs + (row << 3)))
    }
  }
  // Returned, since loads without a use would be optimised away.
  return <i32>(seen ^ (seen >> 32))
}

@inline
function addRow(histogram: usize, from: usize, stride: usize, pair: i64): void {
  const last = from + stride
  let to = histogram
  // A histogram of one feature is 256 pairs of 8 bytes. Bins are loaded one by one: to load eight and shift them out takes a
  // quarter longer, as it is instructions that this waits for, not loads.
  for (; from + 8 <= last; from += 8) {
    addPair(to + (<usize>load<u8>(from, 0) << 3), pair, 0)
    addPair(to + (<usize>load<u8>(from, 1) << 3), pair, 2048)
    addPair(to + (<usize>load<u8>(from, 2) << 3), pair, 4096)
    addPair(to + (<usize>load<u8>(from, 3) << 3), pair, 6144)
    addPair(to + (<usize>load<u8>(from, 4) << 3), pair, 8192)
    addPair(to + (<usize>load<u8>(from, 5) << 3), pair, 10240)
    addPair(to + (<usize>load<u8>(from, 6) << 3), pair, 12288)
    addPair(to + (<usize>load<u8>(from, 7) << 3), pair, 14336)
    to += 16384
  }
  for (; from < last; from += 2) {
    addPair(to + (<usize>load<u8>(from, 0) << 3), pair, 0)
    addPair(to + (<usize>load<u8>(from, 1) << 3), pair, 2048)
    to += 4096
  }
}

export function addColumn(histogram: usize, column: usize, pairs: usize, rows: usize, start: i32, end: i32): void {
  for (let i = start; i < end; i++) {
    const row = <usize>load<u32>(rows + (<usize>i << 2))
    addPair(histogram + (<usize>load<u8>(column + row) << 3), load<i64>(pairs + (row << 3)), 0)
  }
}

@inline
function addPair(at: usize, pair: i64, offset: usize): void {
  store<i64>(at + offset, load<i64>(at + offset) + pair)
}

export function add(into: usize, other: usize, start: i32, end: i32): void {
  for (let at = <usize>start; at < <usize>end; at += 16) v128.store(into + at, i64x2.add(v128.load(into + at), v128.load(other + at)))
}

export function subtract(from: usize, other: usize, start: i32, end: i32): void {
  for (let at = <usize>start; at < <usize>end; at += 16) v128.store(from + at, i64x2.sub(v128.load(from + at), v128.load(other + at)))
}

/** e^x by the argument reduction and polynomial of Cephes' expf, for −87 ≤ x ≤ 87. */
@inline
function exp(x: v128): v128 {
  // Adding 1.5 · 2^23 rounds to a whole number, which then stands in the lowest bits; taking it away leaves the number.
  const large = f32x4.splat(12582912)
  const rounded = f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504088896341)), large)
  const whole = f32x4.sub(rounded, large)
  const rest = f32x4.sub(f32x4.sub(x, f32x4.mul(whole, f32x4.splat(0.693359375))), f32x4.mul(whole, f32x4.splat(-2.12194440e-4)))
  let sum = f32x4.splat(1.9875691500e-4)
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(1.3981999507e-3))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(8.3334519073e-3))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(4.1665795894e-2))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(1.6666665459e-1))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(5.0000001201e-1))
  const power = f32x4.add(f32x4.add(f32x4.mul(sum, f32x4.mul(rest, rest)), rest), f32x4.splat(1))
  return f32x4.mul(power, i32x4.shl(i32x4.add(rounded, i32x4.splat(127)), 23))
}

export function gradients(pairs: usize, margins: usize, labels: usize, fraudWeight: f32, sums: usize, start: i32, end: i32): void {
  const one = f32x4.splat(1)
  for (let first = start; first < end; first += BLOCK) {
    let gradientSum = f32x4.splat(0)
    let hessianSum = f32x4.splat(0)
    const last = min(first + BLOCK, end)
    for (let row = first; row < last; row += 4) {
      const margin = f32x4.pmax(f32x4.pmin(v128.load(margins + (<usize>row << 2)), f32x4.splat(87)), f32x4.splat(-87))
      const score = f32x4.div(one, f32x4.add(one, exp(f32x4.neg(margin))))
      const label = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(labels + <usize>row))))
      const weight = f32x4.add(one, f32x4.mul(label, f32x4.splat(fraudWeight - 1)))
      const gradient = f32x4.mul(f32x4.sub(score, label), weight)
      const hessian = f32x4.mul(f32x4.mul(score, f32x4.sub(one, score)), weight)
      gradientSum = f32x4.add(gradientSum, f32x4.abs(gradient))
      hessianSum = f32x4.add(hessianSum, hessian)
      const to = pairs + (<usize>row << 3)
      v128.store(to, i8x16.shuffle(hessian, gradient, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23))
      v128.store(to + 16, i8x16.shuffle(hessian, gradient, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31))
    }
    const sum = sums + (<usize>(first / BLOCK) << 3)
    store<f32>(sum, across(hessianSum))
    store<f32>(sum + 4, across(gradientSum))
  }
}

@inline
function across(lanes: v128): f32 {
  return f32x4.extract_lane(lanes, 0) + f32x4.extract_lane(lanes, 1) + f32x4.extract_lane(lanes, 2) + f32x4.extract_lane(lanes, 3)
}

export function quantise(pairs: usize, perHessian: f32, perGradient: f32, start: i32, end: i32): void {
  const scale = f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(perHessian), 1, perGradient), 3, perGradient)
  const last = pairs + (<usize>end << 3)
  for (let at = pairs + (<usize>start << 3); at < last; at += 16) {
    v128.store(at, i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(at), scale))))
  }
}

export function divide(rows: usize, scratch: usize, column: usize, cut: i32, turn: i32, start: i32, end: i32): i32 {
  let left = rows + (<usize>start << 2)
  let right = scratch + (<usize>start << 2)
  const last = rows + (<usize>end << 2)
  // Both stores happen for every row and only the addresses differ, since a branch would be mispredicted half the time.
  for (let at = left; at < last; at += 4) {
    const row = load<u32>(at)
    const goesRight = <usize>(((<i32>load<u8>(column + <usize>row) + turn) & 255) > cut)
    store<u32>(left, row)
    store<u32>(right, row)
    right += goesRight << 2
    left += (1 - goesRight) << 2
  }
  return <i32>((left - rows) >> 2) - start
}

export function addLeaf(sums: usize, rows: usize, value: f32, start: i32, end: i32): void {
  const last = rows + (<usize>end << 2)
  for (let at = rows + (<usize>start << 2); at < last; at += 4) {
    const sum = sums + (<usize>load<u32>(at) << 2)
    store<f32>(sum, load<f32>(sum) + value)
  }
}

export function addTree(sums: usize, rows: usize, nodes: usize, start: i32, end: i32): void {
  for (let i = start; i < end; i++) {
    const row = <usize>load<u32>(rows + (<usize>i << 2))
    let node = nodes
    for (let column = <usize>load<u32>(node); column != 0; column = <usize>load<u32>(node)) {
      const goesRight = <usize>(((load<i32>(node, 8) + <i32>load<u8>(column + row)) & 255) > load<i32>(node, 4))
      node = nodes + 20 * (<usize>load<u32>(node, 12) + goesRight)
    }
    const sum = sums + (row << 2)
    store<f32>(sum, load<f32>(sum) + load<f32>(node, 16))
  }
}

/** Rows that go down trees together, a bit of a vector each: row r is bit r / 16 of byte r mod 16. */
const CONVOY: usize = 128
/** Bytes of the records below: a feature's thresholds, its masks, a node of a walk. */
const LADDER = 32
const MASKS = 16
const WALK_NODE: u32 = 16

export function orderKeys(keys: usize, values: usize, start: i32, end: i32): void {
  const missing = i32x4.splat(0x7fffffff)
  for (let at = <usize>start << 2; at < <usize>end << 2; at += 16) {
    const value = v128.load(values + at)
    // Bits of negative floats, as whole numbers, run backwards: all but the sign are turned round.
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
        const mark = byte + (rankOf(key, <u32>(max(min(key, greatest), least) - least) >> shift, starts, thresholds) << 4)
        store<u8>(mark, <u8>(<i32>load<u8>(mark) | bit))
      }
    }
  }
}

@inline
function rankOf(key: i32, cell: u32, starts: usize, thresholds: usize): usize {
  const wide = i32x4.splat(key)
  let rank = <usize>load<u16>(starts + (<usize>cell << 1))
  // Four thresholds at a time: that they do not do is so rare that the branch costs next to nothing.
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

/** Of eight vectors, whose bit k of byte b is that of row 16 k + b, makes the 128 bytes of the rows: vector v has bit v of each. */
@inline
function transpose(at: usize): void {
  // In each byte of the eight vectors stands an 8 × 8 matrix of bits: its quarters change places, then theirs, then theirs.
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

/** Leaves numbered by a byte. */
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

/** Leaves numbered by two bytes, the higher ones behind all the lower. */
@inline
function addMany(sums: usize, numbers: usize, leaves: usize): void {
  for (const last = numbers + CONVOY; numbers < last; numbers += 4, sums += 16) {
    addFour(sums, leaves + numberAt(numbers), leaves + numberAt(numbers + 1), leaves + numberAt(numbers + 2), leaves + numberAt(numbers + 3))
  }
}

@inline
function numberAt(low: usize): usize {
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

export function addByWalk(sums: usize, keys: usize, stride: usize, roots: usize, trees: i32, start: i32, end: i32): void {
  for (const last = roots + (<usize>trees << 2); roots < last; roots += 4) {
    const root = load<usize>(roots)
    for (let row = <usize>start; row < <usize>end; row += 8) walkEight(sums + (row << 2), keys + row * stride, stride, root)
  }
}

@inline
function walkEight(sums: usize, keys: usize, stride: usize, root: usize): void {
  const keys4 = keys + (stride << 2)
  let a = root, b = root, c = root, d = root, e = root, f = root, g = root, h = root
  // Children lie behind their parents and a leaf is its own child, so the addresses add up to the same when all have arrived.
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
