import { readdirSync, readFileSync } from 'node:fs'

/** What a process holds at a moment of the stream. */
export interface Sample {
  /** How many records of the stream had been sent. */
  at: number
  /** Memory of its own: resident and not a page of a file, such as those of the log. Bytes. */
  memory: number
  /** Open file descriptors. */
  descriptors: number
}

/** Reads what a process holds. Undefined where there is no /proc, or the process is gone. */
export function sample(pid: number | undefined, at: number): Sample | undefined {
  try {
    const kilobytes = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    if (kilobytes === undefined) return undefined
    return { at, memory: Number(kilobytes) * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length }
  } catch {
    return undefined
  }
}

/** The most of a quantity in the first third of a stretch and in its last. */
interface Thirds {
  first: number
  last: number
  flat: boolean
}

export interface Flatness {
  samples: number
  memoryMegabytes: Thirds
  descriptors: Thirds
}

/** By how much the last third may exceed the first: what a garbage collector leaves to chance. */
const MEMORY_SHARE = 1.2
const MEMORY_MEGABYTES = 48
const DESCRIPTORS = 8
/** Fewer samples in a third say nothing. */
const LEAST_SAMPLES = 5

/**
 * Holds the last third of a stretch of the stream against the first: neither memory nor descriptors may have grown.
 * Undefined where there are too few samples to tell.
 */
export function flatness(samples: readonly Sample[], from: number, to: number): Flatness | undefined {
  const third = (to - from) / 3
  const inside = samples.filter(({ at }) => at >= from && at < to)
  const first = inside.filter(({ at }) => at < from + third)
  const last = inside.filter(({ at }) => at >= to - third)
  if (Math.min(first.length, last.length) < LEAST_SAMPLES) return undefined
  const memory = [first, last].map((some) => Math.max(...some.map((each) => each.memory)) / 2 ** 20)
  const descriptors = [first, last].map((some) => Math.max(...some.map((each) => each.descriptors)))
  return {
    samples: inside.length,
    memoryMegabytes: {
      first: Math.round(memory[0]),
      last: Math.round(memory[1]),
      flat: memory[1] <= memory[0] * MEMORY_SHARE + MEMORY_MEGABYTES,
    },
    descriptors: {
      first: descriptors[0],
      last: descriptors[1],
      flat: descriptors[1] <= descriptors[0] + DESCRIPTORS,
    },
  }
}
