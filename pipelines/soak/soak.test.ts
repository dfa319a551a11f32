import { expect, test } from 'vitest'
import { ownServices } from '../testing/own-services.ts'
import { embedded, onServices } from './place.ts'
import { soak } from './run.ts'

const { CI } = process.env
const lacking = await (async () => {
  await using servers = await ownServices('redis', 'kafka')
  return servers.get('redis').missing() ?? servers.get('kafka').missing()
})()
const SMALL = { customers: 60, terminals: 100, days: 60, liveDays: 1 }

const places = [
  { name: 'processes', open: embedded, runs: true },
  { name: 'processes and servers', open: onServices, runs: CI !== undefined && lacking === undefined },
]

test.each(places.filter(({ runs }) => runs))(
  'a disturbed stream through $name that are killed: each record has what is due to it, once',
  { timeout: 600_000 },
  async ({ open }) => {
    await using place = await open(SMALL)
    const said: string[] = []
    const report = await soak(place.world, place.log, {
      seed: 5,
      events: 20_000,
      kills: 8,
      servers: place.servers,
      tell: (line) => void said.push(line),
    })
    expect(report.faults, said.join('\n')).toEqual([])
    const { outcome, blows } = report
    expect(Math.min(...Object.values(blows))).toBeGreaterThan(0)
    expect(Object.keys(blows).length).toBe(place.servers === undefined ? 5 : 7)
    expect(Math.min(outcome.transactions, outcome.labels, outcome.bad, outcome.repeats)).toBeGreaterThan(50)
    await place.world[Symbol.asyncDispose]()
  },
)
