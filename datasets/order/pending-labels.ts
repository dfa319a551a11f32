import type { EpochMs } from '../table/transaction.ts'

/** A fraud label that waits until it becomes known. */
export interface PendingLabel {
  /** When it takes its place in the log: when it became known, but not before its transaction. */
  at: EpochMs
  /** Of its transaction, as are the time and the keys. */
  id: number | string
  time: EpochMs
  entities: (number | string)[]
}

/** Labels in the order in which they become known; at equal instants, in the order in which they were added. */
export interface PendingLabels {
  /** When the first label becomes known; Infinity when there is none. */
  readonly next: EpochMs
  add(label: PendingLabel): void
  /** Removes and returns the first; there must be one. */
  take(): PendingLabel
}

/** For labels added in the order in which they become known. */
export function labelQueue(): PendingLabels {
  let labels: PendingLabel[] = []
  let head = 0
  return {
    get next() {
      return head < labels.length ? labels[head].at : Infinity
    },
    add: (label) => {
      labels.push(label)
    },
    take: () => {
      const label = labels[head++]
      // Dropping the used part only once it is half of the array keeps each take O(1) on average.
      if (head > 1024 && head * 2 > labels.length) [labels, head] = [labels.slice(head), 0]
      return label
    },
  }
}

interface Ranked {
  label: PendingLabel
  rank: number
}

/** For labels added in any order: a binary heap. */
export function labelHeap(): PendingLabels {
  const heap: Ranked[] = []
  let added = 0
  const earlier = (a: Ranked, b: Ranked): boolean =>
    a.label.at < b.label.at || (a.label.at === b.label.at && a.rank < b.rank)
  return {
    get next() {
      return heap.length > 0 ? heap[0].label.at : Infinity
    },
    add: (label) => {
      const item = { label, rank: added++ }
      let hole = heap.push(item) - 1
      while (hole > 0) {
        const parent = (hole - 1) >> 1
        if (!earlier(item, heap[parent])) break
        heap[hole] = heap[parent]
        hole = parent
      }
      heap[hole] = item
    },
    take: () => {
      const first = heap[0]
      const last = heap.pop()
      if (last !== undefined && heap.length > 0) sink(heap, last, earlier)
      return first.label
    },
  }
}

/** Puts `item` into the place of the heap's first. */
function sink(heap: Ranked[], item: Ranked, earlier: (a: Ranked, b: Ranked) => boolean): void {
  let hole = 0
  for (;;) {
    let child = 2 * hole + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && earlier(heap[child + 1], heap[child])) child++
    if (!earlier(heap[child], item)) break
    heap[hole] = heap[child]
    hole = child
  }
  heap[hole] = item
}
