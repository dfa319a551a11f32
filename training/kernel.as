// The loops over rows of the tree trainers, in AssemblyScript (its own suffix, since it is no TypeScript: sizes, loads and
// stores are WebAssembly's). `kernel.ts` says what each function does and what it is given; `kernel-twin.ts` does the same in
// plain TypeScript, to the last bit. Addresses are bytes in the one shared memory. Nothing is allocated here and nothing kept.

/** Rows whose gradients are summed up together. */
const BLOCK = 4096
/** Rows that are fetched into the cache together. */
const TOUCHED = 64

export function addRows(histogram: usize, bins: usize, stride: usize, pairs: usize, rows: usize, start: i32, end: i32): i32 {
  let seen: u64 = 0
  if (rows === 0) {
    for (let row = <usize>start; row < <usize>end; row++) addRow(histogram, bins + row * stride, stride, load<i64>(pairs + (row << 3)))
    return 0
  }
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

export function divide(rows: usize, into: usize, column: usize, cut: i32, turn: i32, start: i32, end: i32): i32 {
  let left = into + (<usize>start << 2)
  let right = into + (<usize>end << 2) - 4
  // Both stores happen for every row and only the addresses differ, since a branch would be mispredicted half the time.
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

export function addLeaves(sums: usize, rows: usize, column: usize, cut: i32, turn: i32, left: f32, right: f32, start: i32, end: i32): void {
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

// The task of a search, in bytes: see SEARCH in kernel.ts.
const NODE = 40
const FOUND = 24

export function search(task: usize, start: i32, end: i32): void {
  const features = <usize>load<u32>(task)
  const monotone = <usize>load<u32>(task, 4)
  const parts = <usize>load<u32>(task, 8)
  const extra = load<u32>(task, 12)
  const small = <usize>load<u32>(task, 16)
  const large = <usize>load<u32>(task, 20)
  const found = <usize>load<u32>(task, 24)
  for (let i = start; i < end; i++) {
    const feature = <usize>load<u32>(features + (<usize>i << 2))
    const direction: f64 = monotone === 0 ? 0 : <f64>load<i8>(monotone + feature)
    const first = small + (feature << 11)
    for (let part: u32 = 0; part < extra; part++) add(first, <usize>load<u32>(parts + (part << 2)) + (feature << 11), 0, 2048)
    const to = found + <usize>(2 * i) * FOUND
    scanBoth(to, first, task, task + 80, direction)
    if (large !== 0) {
      subtract(large + (feature << 11), first, 0, 2048)
      scanBoth(to + FOUND, large + (feature << 11), task, task + 80 + NODE, direction)
    }
  }
}

/** Scans with the missing on the right and, where there are any, on the left. */
function scanBoth(found: usize, histogram: usize, task: usize, node: usize, direction: f64): void {
  store<f64>(found, load<f64>(task, 72))
  scan(found, histogram, task, node, direction, 0)
  if (load<i64>(histogram, 2040) !== 0) scan(found, histogram, task, node, direction, 1)
}

function scan(found: usize, histogram: usize, task: usize, node: usize, direction: f64, missingLeft: i32): void {
  const units = v128.load(task, 32)
  const l1 = load<f64>(task, 48)
  const l2 = load<f64>(task, 56)
  const least = load<f64>(task, 64)
  const lower = load<f64>(node, 16)
  const upper = load<f64>(node, 24)
  const whole = load<f64>(node, 32)
  const free = l1 === 0 && direction === 0 && lower === -Infinity && upper === Infinity
  const mask = i64x2(0, -1)
  let most = load<f64>(found)
  // Hessian and gradient of the left, then of the right.
  let sums = i32x4(0, 0, <i32>load<f64>(node), <i32>load<f64>(node, 8))
  if (missingLeft) sums = move(sums, histogram + 2040, mask)
  let best = sums
  let cut = -1
  let last = 0
  let fresh = false
  for (let bin = 0; bin < 255; bin++) {
    const at = histogram + (<usize>bin << 3)
    if (load<i64>(at) === 0) continue
    if (fresh) cut = (last + bin - 1) >> 1
    fresh = false
    sums = move(sums, at, mask)
    last = bin
    const hessians = f64x2.mul(f64x2.convert_low_i32x4_s(i32x4.shuffle(sums, sums, 0, 2, 0, 2)), f64x2.splat(f64x2.extract_lane(units, 0)))
    const left = f64x2.extract_lane(hessians, 0)
    const right = f64x2.extract_lane(hessians, 1)
    if (right < least || right <= 0) break
    if (left < least || left <= 0) continue
    const gradients = f64x2.mul(f64x2.convert_low_i32x4_s(i32x4.shuffle(sums, sums, 1, 3, 1, 3)), f64x2.splat(f64x2.extract_lane(units, 1)))
    let fall: f64
    if (free) {
      const falls = f64x2.div(f64x2.mul(gradients, gradients), f64x2.add(hessians, f64x2.splat(l2)))
      fall = f64x2.extract_lane(falls, 0) + f64x2.extract_lane(falls, 1)
    } else {
      fall = heldBack(f64x2.extract_lane(gradients, 0), left, f64x2.extract_lane(gradients, 1), right, l1, l2, lower, upper, direction)
    }
    if (fall - whole <= most) continue
    most = fall - whole
    cut = bin
    best = sums
    fresh = true
  }
  if (cut < 0) return
  store<f64>(found, most)
  store<i32>(found, fresh ? 254 : cut, 8)
  store<i32>(found, missingLeft, 12)
  v128.store64_lane(found, best, 0, 16)
}

/** Moves the pair at an address from the right to the left. */
@inline
function move(sums: v128, at: usize, mask: v128): v128 {
  const pair = v128.load64_splat(at)
  return i32x4.add(sums, i32x4.sub(v128.xor(pair, mask), mask))
}

function heldBack(left: f64, leftHessian: f64, right: f64, rightHessian: f64, l1: f64, l2: f64, lower: f64, upper: f64, direction: f64): f64 {
  const leftStep = stepOf(left, leftHessian, l1, l2, lower, upper)
  const rightStep = stepOf(right, rightHessian, l1, l2, lower, upper)
  if (direction * (rightStep - leftStep) < 0) return -Infinity
  return fallOf(left, leftHessian, leftStep, l1, l2) + fallOf(right, rightHessian, rightStep, l1, l2)
}

@inline
function stepOf(gradient: f64, hessian: f64, l1: f64, l2: f64, lower: f64, upper: f64): f64 {
  const shrunk = gradient > l1 ? gradient - l1 : gradient < -l1 ? gradient + l1 : 0
  const step = -shrunk / max(hessian + l2, 1e-12)
  return step < lower ? lower : step > upper ? upper : step
}

@inline
function fallOf(gradient: f64, hessian: f64, step: f64, l1: f64, l2: f64): f64 {
  return -step * (2 * gradient + (hessian + l2) * step) - 2 * l1 * abs(step)
}
