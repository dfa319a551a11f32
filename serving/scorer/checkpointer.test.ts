import { expect, test } from 'vitest'
import { emptyBatch, type EventBatch } from '../../datasets/table/transaction.ts'
import { decodeState, encodeState } from '../../features/fold/entity-state.ts'
import { ServiceFold } from '../../features/fold/service-fold.ts'
import type { Base, Checkpoint, EntityState, OwnedState } from '../../features/store/online-store.ts'
import { schema, service } from '../testing/small-stream.ts'
import { checkpointer, type Checkpointer } from './checkpointer.ts'

const START = Date.UTC(2018, 3, 1)
const base: Base = { service: service.name, serviceDigest: '', version: 0, watermark: START - 7, minorUnits: 2 }

/** Transactions of these cards, one a millisecond from `first` on. */
function batchOf(cards: readonly number[], first = START): EventBatch {
  const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 0, categorical: 0 }, cards.length)
  cards.forEach((card, row) => {
    batch.ids[row] = row
    batch.time[row] = first + row
    batch.amount[row] = 100
    batch.entities[0][row] = card
    batch.entities[1][row] = 1
  })
  return batch
}

interface Write {
  states: EntityState[]
  checkpoint: Checkpoint
  end: PromiseWithResolvers<void>
}

/** A checkpointer over a fold, with a clock that stands still and a store that writes when it is told. */
function opened(checkpoint?: Checkpoint) {
  const clock = { time: 1000, step: 0 }
  const writes: Write[] = []
  const state: OwnedState = {
    base,
    checkpoint,
    read: async (_, keys) => keys.map(() => undefined),
    write: (states, written) => {
      const end = Promise.withResolvers<void>()
      writes.push({ states: [...states], checkpoint: written, end })
      return end.promise
    },
    [Symbol.dispose]: () => {},
  }
  const fold = new ServiceFold(service, schema)
  const options = { schema, partitions: 3, everyMs: 100, now: () => (clock.time += clock.step) }
  const checkpoints = checkpointer(fold, state, options)
  const feed = (cards: readonly number[], next: number, first?: number): void => {
    const batch = batchOf(cards, first)
    fold.fold(batch)
    checkpoints.folded(next, batch)
  }
  return { fold, checkpoints, writes, clock, feed }
}

/** Lets all go on that waits for nothing. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function writeNow(checkpoints: Checkpointer): Promise<void> {
  await checkpoints.write(Promise.resolve())
  await settle()
}

test('what has changed is written with the offset, once the commits are durable', async () => {
  const { fold, checkpoints, writes, feed } = opened()
  feed([1, 2, 1], 3)
  const committed = Promise.withResolvers<void>()
  await checkpoints.write(committed.promise)
  // What comes later belongs to the next checkpoint.
  const view = fold.views[1]
  const then = [0, 1].map((slot) => encodeState(view, slot))
  feed([2], 4, START + 5)
  await settle()
  expect(writes).toEqual([])
  committed.resolve()
  await settle()
  expect(writes[0].checkpoint).toEqual({ offset: 3, watermark: START + 2, minorUnits: 2, partitions: 3, schema })
  const cards = writes[0].states.filter((each) => each.view === 'cards')
  expect(cards.map(({ key, bytes }) => [key, Buffer.from(bytes)])).toEqual([
    [1, then[0]],
    [2, then[1]],
  ])
  writes[0].end.resolve()
  await checkpoints.written()
  await writeNow(checkpoints)
  expect(writes[1].checkpoint).toMatchObject({ offset: 4, watermark: START + 5 })
  expect(writes[1].states.map(({ view: name, key }) => [name, key])).toEqual([
    ['terminals', 1],
    ['cards', 2],
  ])
  const resumed = new ServiceFold(service, schema).views[1]
  decodeState(resumed, resumed.addKey(2), writes[1].states[1].bytes)
  expect(resumed.payments.clock.at(0)).toBe(START + 5)
})

test('it goes on from a checkpoint, whose newest time is not forgotten for older events', async () => {
  const { checkpoints, writes, feed } = opened({ offset: 9, watermark: START + 50, minorUnits: 2 })
  feed([1], 10)
  await writeNow(checkpoints)
  expect(writes[0].checkpoint).toMatchObject({ offset: 10, watermark: START + 50 })
  const fresh = opened()
  fresh.checkpoints.folded(7, batchOf([]))
  await writeNow(fresh.checkpoints)
  expect(fresh.writes[0]).toMatchObject({ states: [], checkpoint: { offset: 7, watermark: base.watermark } })
})

test('it is due after its time, if something was folded, and again after that time', async () => {
  const { checkpoints, writes, clock, feed } = opened()
  clock.time += 500
  expect(checkpoints.due()).toBe(false)
  await writeNow(checkpoints)
  expect(writes).toEqual([])
  clock.time = 1099
  feed([1], 1)
  expect(checkpoints.due()).toBe(false)
  clock.time = 1100
  expect(checkpoints.due()).toBe(true)
  await writeNow(checkpoints)
  expect([writes.length, checkpoints.due()]).toEqual([1, false])
  clock.time = 1201
  expect(checkpoints.due()).toBe(false)
  feed([1], 2)
  clock.time = 1199
  expect(checkpoints.due()).toBe(false)
  // The write before is under way for long: it is awaited.
  clock.time = 1200
  expect(checkpoints.due()).toBe(true)
  const second = checkpoints.write(Promise.resolve())
  await settle()
  expect(writes.length).toBe(1)
  writes[0].end.resolve()
  await second
  await settle()
  expect(writes.map(({ checkpoint }) => checkpoint.offset)).toEqual([1, 2])
})

test('many changed keys make it due early, but not while a write is under way', async () => {
  const { checkpoints, writes, feed } = opened()
  const cards = (count: number): number[] => Array.from({ length: count }, (_, card) => card)
  // Their terminal is a key too.
  feed(cards(998), 1)
  expect(checkpoints.due()).toBe(false)
  feed(cards(999), 2)
  expect(checkpoints.due()).toBe(true)
  await writeNow(checkpoints)
  feed(cards(1500), 3)
  expect(checkpoints.due()).toBe(false)
  writes[0].end.resolve()
  await settle()
  expect(checkpoints.due()).toBe(true)
})

test('one that took long to encode puts the next one off, whatever has changed', async () => {
  const { checkpoints, writes, clock, feed } = opened()
  feed([1], 1)
  clock.step = 10
  await writeNow(checkpoints)
  clock.step = 0
  writes[0].end.resolve()
  await settle()
  feed(
    Array.from({ length: 2000 }, (_, card) => card),
    2,
  )
  // Encoding took 10 ms: a twentieth of what lies between.
  const encoded = clock.time
  clock.time = encoded + 199
  expect(checkpoints.due()).toBe(false)
  clock.time = encoded + 200
  expect(checkpoints.due()).toBe(true)
})

test('a failure of the write, or of the commits before it, is thrown by whoever asks next', async () => {
  const failing = opened()
  failing.feed([1], 1)
  await writeNow(failing.checkpoints)
  failing.writes[0].end.reject(new Error('no disk'))
  await expect(failing.checkpoints.written()).rejects.toThrow('no disk')
  failing.feed([1], 2)
  await expect(failing.checkpoints.write(Promise.resolve())).rejects.toThrow('no disk')
  expect(failing.writes.length).toBe(1)

  const { checkpoints, writes, feed } = opened()
  feed([1], 1)
  await checkpoints.write(Promise.reject(new Error('no commit')))
  await settle()
  await expect(checkpoints.written()).rejects.toThrow('no commit')
  expect(writes).toEqual([])
})
