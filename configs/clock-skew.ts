import type { Judgement } from './finding.ts'
import { warning } from './finding.ts'

/**
 * How far a server's clock is ahead of ours, in ms (behind: negative). It is known only to lie between `least` and
 * `most`, because an answer takes time and a server may tell its time in whole seconds.
 */
export interface ClockSkew {
  least: number
  most: number
}

/**
 * The skew of a server that read `told` off its clock after we read `before` off ours, and before we read `after`. All
 * in ms; `told` is rounded down to a multiple of `grain`.
 */
export function clockSkew(before: number, told: number, after: number, grain: number): ClockSkew {
  return { least: told - after, most: told + grain - before }
}

/**
 * With more skew, timestamps of two machines are out of order: latencies are wrong, and labels are known too early or
 * late.
 */
const MOST_SKEW_MS = 1000

/** A warning only when the skew is surely too large. `whose`: "The broker at h:1". */
export function judgeClock({ least, most }: ClockSkew, whose: string): string | Judgement {
  const advice = `Set both clocks by the network, on each machine: timedatectl set-ntp true`
  if (least > MOST_SKEW_MS) return warning(`${whose} is at least ${seconds(least)} s ahead of this machine. ${advice}`)
  if (most < -MOST_SKEW_MS) return warning(`${whose} is at least ${seconds(-most)} s behind this machine. ${advice}`)
  return `${whose} and this machine agree to within ${seconds(Math.max(-least, most))} s`
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3)
}
