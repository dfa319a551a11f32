// Loops over the rows that trees are fitted on.

/** Rows whose gradients are summed up together. */
const BLOCK = 4096
/** Rows that are touched, and so fetched into the cache, before they are added. */
const TOUCHED = 64
/** Rows that are laid out in one pass over the columns. */
const PACKED = 2048

export function addRows(
  histogram: usize, bins: usize, stride: usize, pairs: usize, rows: usize, start: i32, end: i32,
): i32 {
  let seen: u64 = 0
  if (rows === 0) {
    for (let row = <usize>start; row < <usize>end; row++) {
      addRow(histogram, bins + row * stride, stride, load<i64>(pairs + (row << 3)))
    }
    return 0
  }
  for (let first = start; first < end; first += TOUCHED) {
    const last = min(first + TOUCHED, end)
    // The processor does not prefetch rows that lie apart. Touching some of them first, in a loop so short that many
    // loads are under way at once, saves waiting for each in turn: up to three times as fast.
    const span = load<u32>(rows + (<usize>(last - 1) << 2)) - load<u32>(rows + (<usize>first << 2))
    for (let i = span > <u32>(3 * TOUCHED) ? first : last; i < last; i++) {
      const row = <usize>load<u32>(rows + (<usize>i << 2))
      const own = bins + row * stride
      seen |= load<u64>(pairs + (row << 3)) | <u64>load<u8>(own) | <u64>load<u8>(own + stride - 1)
    }
    for (let i = first; i < last; i++) {
      const row = <usize>load<u32>(rows + (<usize>i << 2))
      addRow(histogram, bins + row * stride, stride, load<i64>(pairs + (row << 3)))
    }
  }
  // Returned, since the compiler would drop loads that nothing uses.
  return <i32>(seen ^ (seen >> 32))
}

@inline
function addRow(histogram: usize, from: usize, stride: usize, pair: i64): void {
  const last = from + stride
  let to = histogram
  // A histogram of one feature is 256 pairs of 8 bytes. Bins are loaded one by one: loading eight and shifting them out
  // takes a quarter longer, since instructions are the bottleneck here, not loads.
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
  for (let at = <usize>start; at < <usize>end; at += 16) {
    v128.store(into + at, i64x2.add(v128.load(into + at), v128.load(other + at)))
  }
}

export function subtract(from: usize, other: usize, start: i32, end: i32): void {
  for (let at = <usize>start; at < <usize>end; at += 16) {
    v128.store(from + at, i64x2.sub(v128.load(from + at), v128.load(other + at)))
  }
}

/** e^x by the argument reduction and polynomial of Cephes' expf, for −87 ≤ x ≤ 87. */
@inline
function exp(x: v128): v128 {
  // Adding 1.5 · 2^23 rounds to a whole number, which then stands in the lowest bits. Subtracting it leaves the
  // number.
  const large = f32x4.splat(12582912)
  const rounded = f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504088896341)), large)
  const whole = f32x4.sub(rounded, large)
  const near = f32x4.sub(x, f32x4.mul(whole, f32x4.splat(0.693359375)))
  const rest = f32x4.sub(near, f32x4.mul(whole, f32x4.splat(-2.12194440e-4)))
  let sum = f32x4.splat(1.9875691500e-4)
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(1.3981999507e-3))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(8.3334519073e-3))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(4.1665795894e-2))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(1.6666665459e-1))
  sum = f32x4.add(f32x4.mul(sum, rest), f32x4.splat(5.0000001201e-1))
  const power = f32x4.add(f32x4.add(f32x4.mul(sum, f32x4.mul(rest, rest)), rest), f32x4.splat(1))
  return f32x4.mul(power, i32x4.shl(i32x4.add(rounded, i32x4.splat(127)), 23))
}

export function gradients(
  pairs: usize, margins: usize, labels: usize, fraudWeight: f32, sums: usize, start: i32, end: i32,
): void {
  const one = f32x4.splat(1)
  for (let first = start; first < end; first += BLOCK) {
    let gradientSum = f32x4.splat(0)
    let hessianSum = f32x4.splat(0)
    const last = min(first + BLOCK, end)
    for (let row = first; row < last; row += 4) {
      const margin = f32x4.pmax(f32x4.pmin(v128.load(margins + (<usize>row << 2)), f32x4.splat(87)), f32x4.splat(-87))
      const score = f32x4.div(one, f32x4.add(one, exp(f32x4.neg(margin))))
      const label = fourBytes(labels + <usize>row)
      const weight = f32x4.add(one, f32x4.mul(label, f32x4.splat(fraudWeight - 1)))
      const gradient = f32x4.mul(f32x4.sub(score, label), weight)
      const hessian = f32x4.mul(f32x4.mul(score, f32x4.sub(one, score)), weight)
      gradientSum = f32x4.add(gradientSum, f32x4.abs(gradient))
      hessianSum = f32x4.add(hessianSum, hessian)
      const to = pairs + (<usize>row << 3)
      v128.store(to, i32x4.shuffle(hessian, gradient, 0, 4, 1, 5))
      v128.store(to + 16, i32x4.shuffle(hessian, gradient, 2, 6, 3, 7))
    }
    const sum = sums + (<usize>(first / BLOCK) << 3)
    store<f32>(sum, across(hessianSum))
    store<f32>(sum + 4, across(gradientSum))
  }
}

/** Four bytes as floats. */
@inline
function fourBytes(at: usize): v128 {
  const halves = i16x8.extend_low_i8x16_u(v128.load32_zero(at))
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(halves))
}

/** The sum of the four lanes, from the first to the last. */
@inline
function across(lanes: v128): f32 {
  const three = f32x4.extract_lane(lanes, 0) + f32x4.extract_lane(lanes, 1) + f32x4.extract_lane(lanes, 2)
  return three + f32x4.extract_lane(lanes, 3)
}

export function quantise(pairs: usize, perHessian: f32, perGradient: f32, start: i32, end: i32): void {
  const scale = f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(perHessian), 1, perGradient), 3, perGradient)
  const last = pairs + (<usize>end << 3)
  for (let at = pairs + (<usize>start << 3); at < last; at += 16) {
    v128.store(at, i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(at), scale))))
  }
}

export function divide(rows: usize, into: usize, column: usize, cut: i32, turn: i32, start: i32, end: i32): i32 {
  let left = into + (<usize>start << 2)
  let right = into + (<usize>end << 2) - 4
  // Every row is stored on both sides and only the addresses advance by side: a branch would be mispredicted half the
  // time.
  for (let i = start; i < end; i++) {
    const row = rowAt(rows, i)
    const goesRight = <usize>isRight(column, row, cut, turn)
    store<u32>(left, <u32>row)
    store<u32>(right, <u32>row)
    right -= goesRight << 2
    left += (1 - goesRight) << 2
  }
  return <i32>((left - into) >> 2) - start
}

/** The row number at `i`; `i` itself without a list. */
@inline
function rowAt(rows: usize, i: i32): usize {
  return rows === 0 ? <usize>i : <usize>load<u32>(rows + (<usize>i << 2))
}

@inline
function isRight(column: usize, row: usize, cut: i32, turn: i32): bool {
  return ((<i32>load<u8>(column + row) + turn) & 255) > cut
}

export function addLeaf(sums: usize, rows: usize, value: f32, start: i32, end: i32): void {
  for (let i = start; i < end; i++) addTo(sums + (rowAt(rows, i) << 2), value)
}

export function addLeaves(
  sums: usize, rows: usize, column: usize, cut: i32, turn: i32, left: f32, right: f32, start: i32, end: i32,
): void {
  for (let i = start; i < end; i++) {
    const row = rowAt(rows, i)
    addTo(sums + (row << 2), isRight(column, row, cut, turn) ? right : left)
  }
}

@inline
function addTo(at: usize, value: f32): void {
  store<f32>(at, load<f32>(at) + value)
}

export function addTree(sums: usize, rows: usize, nodes: usize, start: i32, end: i32): void {
  for (let i = start; i < end; i++) {
    const row = rowAt(rows, i)
    let node = nodes
    for (let column = <usize>load<u32>(node); column != 0; column = <usize>load<u32>(node)) {
      const goesRight = <usize>(((load<i32>(node, 8) + <i32>load<u8>(column + row)) & 255) > load<i32>(node, 4))
      node = nodes + 20 * (<usize>load<u32>(node, 12) + goesRight)
    }
    addTo(sums + (row << 2), load<f32>(node, 16))
  }
}

export function assign(bins: usize, values: usize, cuts: usize, count: i32, begin: usize, start: i32, end: i32): void {
  for (let row = <usize>start; row < <usize>end; row++) {
    const value = load<f32>(values + (row << 2))
    let bin = <i32>load<u8>(begin + <usize>load<u16>(values + (row << 2), 2))
    while (bin < count && value > load<f32>(cuts + (<usize>bin << 2))) bin++
    store<u8>(bins + row, value === value ? bin : 255)
  }
}

export function pack(bytes: usize, stride: usize, columns: usize, features: i32, start: i32, end: i32): void {
  // Some rows at a time: what is written for them stays in the cache while all columns are read.
  for (let first = start; first < end; first += PACKED) {
    const last = <usize>min(first + PACKED, end)
    for (let feature: usize = 0; feature < <usize>features; feature++) {
      const column = <usize>load<u32>(columns + (feature << 2))
      let at = bytes + <usize>first * stride + feature
      for (let row = <usize>first; row < last; row++, at += stride) store<u8>(at, load<u8>(column + row))
    }
  }
}
