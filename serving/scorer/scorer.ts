import type { EventLog } from '../../datasets/log/event-log.ts'
import { modelInput, type FoldedBatch } from '../../features/chain/folded-batch.ts'
import type { Base, OnlineStore } from '../../features/store/online-store.ts'
import { categoryColumns, featureNames } from '../../features/view/view.ts'
import type { Registry } from '../../registry/registry.ts'
import { watchChampion, type Champion, type ChampionSource } from '../model/champion.ts'
import type { OnnxModel } from '../model/onnx-model.ts'
import type { Judge } from '../prediction.ts'
import { LIVE_TOPICS, PREDICTIONS, type GroupTopics } from '../topics.ts'
import { writeOutputs, type ComputedFeatures, type WrittenBatch } from './batch.ts'
import { runChain, type ChainOptions } from './chain.ts'

export interface ScorerParts {
  log: EventLog
  store: OnlineStore
  registry: Registry
  /** Default: the graphs of the registry, and the clock of this machine. */
  champions?: ChampionSource
}

export interface ScorerOptions extends Pick<
  ChainOptions,
  | 'group'
  | 'partitions'
  | 'maxBatch'
  | 'maxAhead'
  | 'rememberIds'
  | 'checkpointEveryMs'
  | 'endWhenIdle'
  | 'signal'
  | 'now'
  | 'onAssigned'
  | 'onRevoked'
  | 'onStandby'
  | 'onGap'
  | 'onBatch'
> {
  /** The registered model. The version that its `alias` points to decides. */
  model: string
  alias: string
  /** Where alerts and dead letters go, `groupTopics` of the group. Default: the live ones. */
  topics?: GroupTopics
  championEveryMs: number
  /** Called when everything is ready; `base` is the newest backfill. */
  onStart?: (champion: Champion, base: Base | undefined) => void
  onSwap?: (champion: Champion) => void
  onThreshold?: (champion: Champion) => void
  onRefused?: (error: unknown) => void
}

/**
 * Scores `transactions` until `signal` aborts.
 *
 * A batch is whatever has arrived. For each batch it decodes, folds, makes one ONNX call, and commits predictions,
 * alerts, dead letters and the next offset in one transaction (`stage.ts` says what is written when). Several processes
 * may score for one group; each has a share of the partitions.
 *
 * @throws UserError when there is no champion, or the stored state is of another definition of the service.
 */
export async function score(parts: ScorerParts, options: ScorerOptions): Promise<void> {
  await using champions = await watchChampion(parts.registry, {
    name: options.model,
    alias: options.alias,
    everyMs: options.championEveryMs,
    source: parts.champions,
    onSwap: (champion) => options.onSwap?.(champion),
    onThreshold: (champion) => options.onThreshold?.(champion),
    onRefused: (error) => options.onRefused?.(error),
  })
  const topics = options.topics ?? LIVE_TOPICS
  for (const topic of [PREDICTIONS, topics.alerts, topics.deadLetters]) await parts.log.createTopic(topic)
  const { service, card } = champions.current()
  const { schema } = card.dataset
  const base = await parts.store.base(service.name)
  await runChain({
    ...options,
    log: parts.log,
    store: parts.store,
    service,
    schema,
    deadLetterTopic: topics.deadLetters,
    finish: (folded) => {
      const { name, version, threshold, model } = champions.current()
      const judge = { name, version, threshold: threshold.value, entry: threshold.entry, group: options.group }
      return judgeBatch(folded, { service, schema }, judge, model, topics)
    },
    onStart: () => options.onStart?.(champions.current(), base),
  })
}

/** Scores a whole batch by one model, and writes what it decides. */
export async function judgeBatch(
  folded: FoldedBatch,
  computed: ComputedFeatures,
  judge: Judge,
  model: Pick<OnnxModel, 'score'>,
  topics?: GroupTopics,
): Promise<WrittenBatch> {
  const { service, schema } = computed
  const sources = categoryColumns(service, schema).map(({ source }) => source)
  const input = modelInput(folded, featureNames(service).length, sources)
  const scores = input.rows === 0 ? new Float32Array(0) : await model.score(input)
  return writeOutputs(folded, scores, computed, judge, topics)
}
