// The search for splits.

import { add, subtract } from './rows'

// Bytes of a node in the task, of what is found, and of the histogram of one feature. The task is that of `SEARCH` in
// kernel.ts, its slots given in bytes here.
const NODE = 40
const FOUND = 24
const COLUMN = 2048
/** Where in a histogram the missing values stand, and the cut that separates all numbers from them. */
const MISSING = 2040
const LAST_CUT = 254

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
    for (let part: u32 = 0; part < extra; part++) {
      add(first, <usize>load<u32>(parts + (part << 2)) + (feature << 11), 0, COLUMN)
    }
    const to = found + <usize>(2 * i) * FOUND
    scanBoth(to, first, task, task + 80, direction)
    if (large !== 0) {
      subtract(large + (feature << 11), first, 0, COLUMN)
      scanBoth(to + FOUND, large + (feature << 11), task, task + 80 + NODE, direction)
    }
  }
}

/** Scans with missing values on the right and then, where there are any, on the left. */
function scanBoth(found: usize, histogram: usize, task: usize, node: usize, direction: f64): void {
  store<f64>(found, load<f64>(task, 72))
  scan(found, histogram, task, node, direction, 0)
  if (load<i64>(histogram, MISSING) !== 0) scan(found, histogram, task, node, direction, 1)
}

/**
 * Writes the best cut to `found` when it gains more than what stands there. Of cuts that split the rows alike, which
 * differ by bins without rows, it is the middle one.
 */
function scan(found: usize, histogram: usize, task: usize, node: usize, direction: f64, missingLeft: i32): void {
  const units = v128.load(task, 32)
  const l1 = load<f64>(task, 48)
  const l2 = load<f64>(task, 56)
  const least = load<f64>(task, 64)
  const lower = load<f64>(node, 16)
  const upper = load<f64>(node, 24)
  const whole = load<f64>(node, 32)
  const free = l1 === 0 && direction === 0 && lower === -Infinity && upper === Infinity
  let most = load<f64>(found)
  let sums = sumsOf(node)
  if (missingLeft) sums = move(sums, histogram + MISSING)
  let best = sums
  let cut = -1
  let last = 0
  let fresh = false
  for (let bin = 0; bin < 255; bin++) {
    const at = histogram + (<usize>bin << 3)
    if (load<i64>(at) === 0) continue
    if (fresh) cut = (last + bin - 1) >> 1
    fresh = false
    sums = move(sums, at)
    last = bin
    const hessians = hessiansOf(sums, units)
    const left = f64x2.extract_lane(hessians, 0)
    const right = f64x2.extract_lane(hessians, 1)
    if (right < least || right <= 0) break
    if (left < least || left <= 0) continue
    const gradients = gradientsOf(sums, units)
    const fall = free
      ? freeFall(gradients, hessians, l2)
      : heldBack(gradients, hessians, l1, l2, lower, upper, direction)
    if (fall - whole <= most) continue
    most = fall - whole
    cut = bin
    best = sums
    fresh = true
  }
  if (cut >= 0) writeFound(found, most, fresh ? LAST_CUT : cut, missingLeft, best)
}

/** Hessian and gradient of the left, where there is nothing yet, then of the right. */
@inline
function sumsOf(node: usize): v128 {
  return i32x4(0, 0, <i32>load<f64>(node), <i32>load<f64>(node, 8))
}

/** Moves the pair at an address from the right to the left. */
@inline
function move(sums: v128, at: usize): v128 {
  const pair = v128.load64_splat(at)
  // The complement of a number, minus −1, is the number negated.
  const mask = i64x2(0, -1)
  return i32x4.add(sums, i32x4.sub(v128.xor(pair, mask), mask))
}

/** Hessians of left and right. */
@inline
function hessiansOf(sums: v128, units: v128): v128 {
  const whole = f64x2.convert_low_i32x4_s(i32x4.shuffle(sums, sums, 0, 2, 0, 2))
  return f64x2.mul(whole, f64x2.splat(f64x2.extract_lane(units, 0)))
}

/** Gradients of left and right. */
@inline
function gradientsOf(sums: v128, units: v128): v128 {
  const whole = f64x2.convert_low_i32x4_s(i32x4.shuffle(sums, sums, 1, 3, 1, 3))
  return f64x2.mul(whole, f64x2.splat(f64x2.extract_lane(units, 1)))
}

/** What the best steps of both children take off twice the loss, when nothing holds steps back. */
@inline
function freeFall(gradients: v128, hessians: v128, l2: f64): f64 {
  const falls = f64x2.div(f64x2.mul(gradients, gradients), f64x2.add(hessians, f64x2.splat(l2)))
  return f64x2.extract_lane(falls, 0) + f64x2.extract_lane(falls, 1)
}

/** The same when steps are shrunk, bounded or have a direction; −∞ when they go against it. */
@inline
function heldBack(
  gradients: v128, hessians: v128, l1: f64, l2: f64, lower: f64, upper: f64, direction: f64,
): f64 {
  const left = f64x2.extract_lane(gradients, 0)
  const leftHessian = f64x2.extract_lane(hessians, 0)
  const right = f64x2.extract_lane(gradients, 1)
  const rightHessian = f64x2.extract_lane(hessians, 1)
  const leftStep = stepOf(left, leftHessian, l1, l2, lower, upper)
  const rightStep = stepOf(right, rightHessian, l1, l2, lower, upper)
  if (direction * (rightStep - leftStep) < 0) return -Infinity
  return fallOf(left, leftHessian, leftStep, l1, l2) + fallOf(right, rightHessian, rightStep, l1, l2)
}

/** `found` as `FOUND_BYTES` in kernel.ts describes it. */
@inline
function writeFound(found: usize, gain: f64, cut: i32, missingLeft: i32, sums: v128): void {
  store<f64>(found, gain)
  store<i32>(found, cut, 8)
  store<i32>(found, missingLeft, 12)
  v128.store64_lane(found, sums, 0, 16)
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
