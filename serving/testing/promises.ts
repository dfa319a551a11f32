import { expect } from 'vitest'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import type { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import { planChain, type Stage } from '../../features/chain/chain.ts'
import type { FoldedBatch, ModelInput } from '../../features/chain/folded-batch.ts'
import type { Base, GroupState } from '../../features/store/online-store.ts'
import type { MemoryServer } from '../../features/testing/memory-store.ts'
import { featureNames } from '../../features/view/view.ts'
import type { Judge, Prediction } from '../prediction.ts'
import { passOn, type WrittenBatch } from '../scorer/batch.ts'
import { judgeBatch } from '../scorer/scorer.ts'
import { DEAD_LETTERS, FRAUD_ALERTS, PREDICTIONS, TRANSACTIONS } from '../topics.ts'
import { schema, service } from './small-stream.ts'
import { GROUP, JUDGE, standIn } from './stand-in.ts'
import { undisturbed } from './undisturbed.ts'

/** What the scorers said in `onBatch`, summed up. A scorer that is killed may not have said all. */
export interface Told {
  scored: number
  labels: number
  rejected: number
  replayed: number
}

/** Who may decide, and the history before the log. */
export interface Beginning {
  judges: readonly Judge[]
  start: GroupState
}

/**
 * Holds what a cluster has left against what an undisturbed scorer makes of the same topics: every record has come out
 * once, with the same bits, in the order of its partition; the offsets and the stored state are at the end, and the
 * state is that of the undisturbed fold. A prediction names who decided, and a base that there was, and is what that
 * judge makes of the features.
 */
export async function expectPromisesKept(
  broker: MemoryBroker,
  server: MemoryServer,
  told: Told,
  { judges, start }: Beginning,
): Promise<void> {
  const partitions = broker.require(TRANSACTIONS).partitions.length
  const plan = planChain(service, schema, { name: TRANSACTIONS, partitions }, GROUP)
  const topics = [PREDICTIONS, FRAUD_ALERTS, DEAD_LETTERS, ...plan.slice(1).map((stage) => stage.topic)]
  const written = new Map(topics.map((topic) => [topic, broker.ensure(topic).partitions.flat().map(line)]))
  const wanted = new Map(topics.map((topic): [string, string[]] => [topic, []]))
  const decided = deciders(broker, judges, server.published(service.name))
  for (const [n, stage] of plan.entries()) {
    const emit = emitter(plan.at(n + 1), partitions, decided)
    for (let partition = 0; partition < partitions; partition++) {
      const { outputs, states, watermark } = await undisturbed(broker, stage, partition, emit, start)
      for (const [topic, records] of outputs) {
        const lines = records.map(line)
        wanted.get(topic)?.push(...lines)
        // A stage's topic has an order in each of its partitions only.
        if (records[0].partition === undefined) expectOrder(written.get(topic) ?? [], lines)
      }
      const { length } = broker.require(stage.topic).partitions[partition]
      const { committed } = broker.group(GROUP, stage.topic).owners[partition]
      const stored = server.stored(service.name, { group: GROUP, topic: stage.topic, partition })
      const place = `${stage.topic}/${partition}`
      same([committed, stored.checkpoint?.offset ?? 0], [length, length], `offsets of ${place}`)
      same(stored.checkpoint?.watermark, watermark, `watermark of ${place}`)
      for (const { view, key, bytes } of states.values())
        same(hex(stored.read(view, key)), hex(bytes), `state of ${key} in ${view} of ${place}`)
    }
  }
  for (const topic of topics) same(written.get(topic)?.toSorted(), wanted.get(topic)?.toSorted(), topic)
  const alerts = (written.get(PREDICTIONS) ?? []).filter((each) => each.includes('"decision":"alert"'))
  same(written.get(FRAUD_ALERTS)?.toSorted(), alerts.toSorted(), 'alerts')
  const count = (topic: string): number => written.get(topic)?.length ?? 0
  const all = broker.require(TRANSACTIONS).partitions.flat().length
  const [scored, rejected] = [count(PREDICTIONS), count(DEAD_LETTERS)]
  const labels = all - scored - rejected
  if (told.scored > scored || told.rejected > rejected || told.labels > labels)
    same(told, { ...told, scored, rejected, labels }, 'counted batches')
}

/** Who decided each transaction, and on which base, by its place in the topic. */
type Deciders = Map<string, { judge: Judge; base: number }>

/** What the predictions say of that. It must be one who could, and a base that was published. */
function deciders(broker: MemoryBroker, judges: readonly Judge[], bases: readonly Base[]): Deciders {
  const found: Deciders = new Map()
  for (const { value } of broker.ensure(PREDICTIONS).partitions.flat()) {
    const { input, model, threshold, threshold_entry: entry, base = 0 } = JSON.parse(text(value)) as Prediction
    const judge = judges.find(
      (each) => each.version === model.version && each.threshold === threshold && each.entry === entry,
    )
    if (judge === undefined) throw new Error(`Nobody decides as ${text(value)} says`)
    if (bases.length > 0 && !bases.some(({ version }) => version === base)) throw new Error(`There is no base ${base}`)
    found.set(`${input.partition}/${input.offset}`, { judge, base })
  }
  return found
}

function emitter(
  next: Stage | undefined,
  partitions: number,
  decided: Deciders,
): (folded: FoldedBatch) => Promise<WrittenBatch> {
  if (next === undefined) return (folded) => judged(folded, decided)
  const entity = schema.entities.findIndex(({ name }) => name === next.entity)
  return async (folded) => passOn(folded, featureNames(service).length, { topic: next.topic, entity, partitions })
}

/** The outputs of a batch, with each transaction decided by whoever did. */
async function judged(folded: FoldedBatch, decided: Deciders): Promise<WrittenBatch> {
  const all = new Map<string, WrittenBatch>()
  const by = async ({ judge, base }: { judge: Judge; base: number }): Promise<WrittenBatch> => {
    const id = `${judge.version} ${judge.entry} ${base}`
    const model = { score: async ({ numbers, rows }: ModelInput) => standIn(numbers, rows, judge.version) }
    const written = all.get(id) ?? (await judgeBatch({ ...folded, base }, { service, schema }, judge, model))
    all.set(id, written)
    return written
  }
  const any = await by({ judge: JUDGE, base: folded.base })
  const predictions: NewRecord[] = []
  for (const [i, record] of (any.outputs.get(PREDICTIONS) ?? []).entries()) {
    const { input } = JSON.parse(text(record.value)) as Prediction
    const who = decided.get(`${input.partition}/${input.offset}`)
    predictions.push(who === undefined ? record : ((await by(who)).outputs.get(PREDICTIONS) ?? [])[i])
  }
  const alerts = predictions.filter(({ value }) => text(value).includes('"decision":"alert"'))
  const outputs = new Map(any.outputs).set(PREDICTIONS, predictions).set(FRAUD_ALERTS, alerts)
  for (const [topic, records] of outputs) if (records.length === 0) outputs.delete(topic)
  return { ...any, outputs }
}

/** Compares by the text, since `expect` alone would take most of the time of a schedule. */
function same(found: unknown, wanted: unknown, what: string): void {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) expect(found, what).toEqual(wanted)
}

/** What one partition gives stands in its output topic in the order of that partition. */
function expectOrder(written: readonly string[], lines: readonly string[]): void {
  let last = -1
  for (const each of lines) {
    const place = written.indexOf(each, last + 1)
    if (place === -1) expect(written, 'one partition’s outputs, in order').toEqual(lines)
    last = place
  }
}

function line({ key = '', value, timestamp }: NewRecord): string {
  return `${timestamp} ${text(key)} ${text(value)}`
}

function text(content: string | Uint8Array): string {
  return Buffer.from(content).toString('latin1')
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'none' : Buffer.from(bytes).toString('hex')
}
