import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import type { RingColumns } from './ring-columns.ts'
import { EventRings } from './ring.ts'

/** Time, amount, both halves of the id, and place. */
type Event = readonly [time: number, amount: number, low: number, high: number, place: number]

const ALL: RingColumns = { amount: true, label: true, id: true }

/** The events of a slot as they stand in the columns. */
function eventsOf(rings: EventRings, slot: number): Event[] {
  const { time, amount, idHash, idHigh, place } = rings
  return Array.from({ length: rings.next(slot) - rings.first(slot) }, (_, i) => {
    const p = rings.position(slot, rings.first(slot) + i)
    return [time[p], amount[p], idHash[p], idHigh[p], place[p]]
  })
}

test.each([1, 2, 3, 4])('rings hold what arrays hold, wherever events come in and leave, seed %i', (seed) => {
  const random = randomStream(seed)
  const rings = new EventRings(ALL, 1 << 20)
  rings.keepPlaces()
  const slots = [0, 1, 2].map(() => ({ slot: rings.addSlot(), events: [] as Event[] }))
  for (let n = 0; n < 6_000; n++) {
    const { slot, events } = slots[random.integer(slots.length)]
    const event: Event = [n, random.integer(1000), random.integer(9), random.integer(9), n]
    const [time, amount, low, high, place] = event
    const at = random.integer(3) === 0 ? events.length : random.integer(events.length + 1)
    const position = rings.put(slot, rings.first(slot) + at, time, amount, low, high)
    rings.place[position] = place
    events.splice(at, 0, event)
    // So rings go around, and hold up to some hundred events.
    const gone = random.integer(300) === 0 ? random.integer(events.length) : Number(events.length > 200)
    events.splice(0, gone)
    rings.drop(slot, rings.first(slot) + gone)
    expect(eventsOf(rings, slot).join(';')).toBe(events.join(';'))
  }
})
