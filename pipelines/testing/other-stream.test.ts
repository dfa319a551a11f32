import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { openRegistry } from '../../registry/open.ts'
import { makeWorld, type World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await makeWorld({ customers: 60, terminals: 80, days: 60, liveDays: 6 })
}, 120_000)
afterAll(() => world[Symbol.asyncDispose]())

const PATIENT = { timeout: 120_000 }

/** Registers the graph of version 1 again, with a card that differs; resolves to the number of the version. */
async function registerLike(change: (card: Record<string, string>) => Record<string, string>): Promise<string> {
  await using registry = await openRegistry(`sqlite:${join(world.home, 'registry')}`, { now: Date.now })
  const { name, source, runId, tags } = await registry.getModelVersion('card-fraud', 1)
  const { version } = await registry.createModelVersion({ name, source, runId, tags: { ...tags, ...change(tags) } })
  return String(version)
}

const threeDecimals = ({ 'fd.dataset.schema': schema }: Record<string, string>): Record<string, string> => {
  const read = JSON.parse(schema) as DatasetSchema
  return { 'fd.dataset.schema': JSON.stringify({ ...read, amount: { ...read.amount, minorUnits: 3 } }) }
}
/** Trains a version that reads another service; resolves to its number. */
async function trainOther(): Promise<string> {
  const history = ['--dataset', 'simulated', '--data', world.file, '--until', world.cut, '--service', 'user-anomaly']
  const trained = await world.fd('train', ...history, '--param', 'rounds=5', '--register', 'card-fraud', '--json')
  return String((JSON.parse(trained) as { version: number }).version)
}

const force = (version: string): Promise<string> =>
  world.fd('models', 'promote', 'card-fraud', version, '--force', '--reason', 'to see what the scorer does')

test(
  'a champion of another stream or service is refused by the gate, by a running scorer, and at start',
  PATIENT,
  async () => {
    const [decimals, service] = [await registerLike(threeDecimals), await trainOther()]
    const gate = await world.try('models', 'promote', 'card-fraud', decimals)
    expect(gate.code).toBe(1)
    expect(gate.stdout + gate.stderr).toMatch(/trained on records of another form than the stream has: amount is/)

    const scorer = world.start('score')
    await scorer.says('Scoring with card-fraud version 1')
    await force(decimals)
    await scorer.says('trained on records of another form than the stream has: amount is')
    await force(service)
    await scorer.says(`Version ${service} of "card-fraud" reads service "user-anomaly"`)
    await world.fd('produce', '--dataset', 'simulated', '--data', world.file, '--from', world.cut)
    await expect.poll(async () => (await world.predictions()).length, { timeout: 60_000 }).toBeGreaterThan(0)
    scorer.child.kill('SIGTERM')
    await scorer.ended
    expect(new Set((await world.predictions()).map(({ model }) => model.version))).toEqual(new Set([1]))

    await force(decimals)
    const start = await world.try('score', '--until-idle')
    expect(start.code).toBe(2)
    expect(start.stderr).toMatch(/trained on records of another form than the stream has: amount is .*--group NAME/s)
    await force('1')
    await world.fd('score', '--until-idle')
    expect(await world.fd('features', 'verify')).toMatch(/differences +0\n/)
  },
)
