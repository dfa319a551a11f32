/**
 * Throughput: a backlog of transactions from log to log through one scorer process, beside the same rows in the same
 * batches through ONNX Runtime alone. The runs are interleaved. Prints JSON.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { eventDecoder } from '../../datasets/log/event-json.ts'
import { openEventLog } from '../../datasets/open.ts'
import { toModelInput } from '../../features/fold/model-input.ts'
import { ServiceFold } from '../../features/fold/service-fold.ts'
import { openOnlineStore } from '../../features/open.ts'
import { openRegistry } from '../../registry/open.ts'
import { loadVersion } from '../../serving/model/champion.ts'
import { score, type ScorerParts } from '../../serving/scorer/scorer.ts'
import { TRANSACTIONS } from '../../serving/topics.ts'
import { replay } from '../commands/produce.ts'
import { wallClock } from '../console/command.ts'
import { makeBenchWorld, median } from './world.ts'

const TRANSACTIONS_SENT = 300_000
const RUNS = 3

/** Transactions a second. */
async function scoreBacklog(parts: ScorerParts, group: string, maxBatch: number): Promise<number> {
  let scored = 0
  let first = 0
  await score(parts, {
    model: 'card-fraud',
    alias: 'champion',
    group,
    partitions: 1,
    maxBatch,
    checkpointEveryMs: 1000,
    championEveryMs: 250,
    endWhenIdle: () => true,
    signal: new AbortController().signal,
    now: wallClock,
    onStart: () => (first = performance.now()),
    onBatch: (batch) => (scored += batch.scored),
  })
  return scored / ((performance.now() - first) / 1000)
}

interface ModelInput {
  /** Row-major. */
  input: Float32Array
  rows: number
}

/** The model's inputs of the whole log, in the batches in which the scorer reads it. */
async function modelInputs(parts: ScorerParts, maxBatch: number): Promise<ModelInput[]> {
  await using champion = await loadVersion(parts.registry, 'card-fraud', 1)
  const { schema } = champion.card.dataset
  const fold = new ServiceFold(champion.service, schema)
  const decode = eventDecoder(schema)
  const inputs: ModelInput[] = []
  for await (const records of parts.log.read(TRANSACTIONS, 0, { maxRecords: maxBatch })) {
    const { rows, values } = fold.fold(decode(records).events)
    const input = new Float32Array(rows * fold.names.length)
    toModelInput(values, input.length, input)
    inputs.push({ input, rows })
  }
  return inputs
}

/** Rows a second through the graph, in a session with the scorer's settings, with nothing else to do. */
async function onnxAlone(graph: Uint8Array, width: number, inputs: ModelInput[]): Promise<number> {
  const session = await InferenceSession.create(graph, { intraOpNumThreads: 1, interOpNumThreads: 1 })
  const started = performance.now()
  let rows = 0
  for (const batch of inputs) {
    await session.run({ [session.inputNames[0]]: new Tensor('float32', batch.input, [batch.rows, width]) })
    rows += batch.rows
  }
  const rate = rows / ((performance.now() - started) / 1000)
  await session.release()
  return rate
}

await using world = await makeBenchWorld()
const { config } = world
await using log = await openEventLog(config.eventLog)
await using store = await openOnlineStore(config.onlineStore)
await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
const parts = { log, store, registry }
await replay(log, world.dataset, {
  from: Date.UTC(2018, 6, 25),
  limit: TRANSACTIONS_SENT,
  signal: new AbortController().signal,
})
const inputs = await modelInputs(parts, config.scorer.maxBatch)
const graph = await registry.downloadModelArtifact('card-fraud', 1, 'model.onnx')
const width = inputs[0].input.length / inputs[0].rows
const ours: number[] = []
const alone: number[] = []
for (let run = 0; run < RUNS; run++) {
  ours.push(await scoreBacklog(parts, `run-${run}`, config.scorer.maxBatch))
  alone.push(await onnxAlone(graph, width, inputs))
}
const report = {
  benchmark: 'score',
  machine: world.machine,
  dataset: world.dataset.name,
  transactions: TRANSACTIONS_SENT,
  maxBatch: config.scorer.maxBatch,
  scorer: { transactionsPerSecond: Math.round(median(ours)), runs: ours.map(Math.round) },
  onnxRuntimeAlone: { rowsPerSecond: Math.round(median(alone)), runs: alone.map(Math.round) },
  ratio: median(ours) / median(alone),
}
console.log(JSON.stringify(report, null, 2))
