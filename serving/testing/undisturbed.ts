import type { NewRecord, Outputs } from '../../datasets/log/event-log.ts'
import type { MemoryBroker } from '../../datasets/testing/memory-broker.ts'
import type { Stage } from '../../features/chain/chain.ts'
import { foldBatch, type FoldedBatch } from '../../features/chain/folded-batch.ts'
import { Seam } from '../../features/chain/seam.ts'
import { stageReader } from '../../features/chain/stage-record.ts'
import { encodeState } from '../../features/fold/entity-state.ts'
import { ServiceFold } from '../../features/fold/service-fold.ts'
import type { GroupState } from '../../features/store/online-store.ts'
import { featureNames } from '../../features/view/view.ts'
import type { WrittenBatch } from '../scorer/batch.ts'
import { schema, service } from './small-stream.ts'
import { GROUP } from './stand-in.ts'

/** What a scorer that nothing disturbs makes of a partition's records. */
export interface Undisturbed {
  outputs: Outputs
  /** The state of every key, by view and key. */
  states: Map<string, { view: string; key: number | string; bytes: Buffer }>
  /** The newest event time, that of history included; undefined where there are no records. */
  watermark: number | undefined
}

/**
 * Folds all records of a stage's partition as one batch, in one process, without a store.
 *
 * @param emit makes the outputs, as in the stage.
 * @param start the history before the records.
 */
export async function undisturbed(
  broker: MemoryBroker,
  stage: Stage,
  partition: number,
  emit: (folded: FoldedBatch) => Promise<WrittenBatch>,
  start: GroupState = EMPTY,
): Promise<Undisturbed> {
  const records = broker.batch(stage.topic, partition, 0, Infinity)
  if (records === undefined) return { outputs: new Map<string, NewRecord[]>(), states: new Map(), watermark: undefined }
  const read = stageReader(schema, featureNames(service).length, stage.entity === undefined, Infinity)
  const fold = new ServiceFold(service, schema, { views: stage.views })
  const folded = await foldBatch(read(records), 0, fold, start, new Seam({ base: start.base, group: GROUP }))
  const { events } = folded.input.decoded
  const watermark = events.time
    .subarray(0, events.size)
    .reduce((most, time) => Math.max(most, time), start.base.watermark)
  const { outputs } = await emit(folded)
  const states: Undisturbed['states'] = new Map()
  for (const view of fold.views)
    for (let slot = 0; slot < view.keys; slot++) {
      const [name, key] = [view.view.name, view.key(slot)]
      states.set(`${name} ${key}`, { view: name, key, bytes: encodeState(view, slot) })
    }
  return { outputs, states, watermark }
}

/** No history. */
export const EMPTY: GroupState = {
  base: { service: service.name, serviceDigest: '', version: 0, watermark: -Infinity, minorUnits: 0 },
  checkpoint: undefined,
  read: async (_, keys) => keys.map(() => undefined),
}
