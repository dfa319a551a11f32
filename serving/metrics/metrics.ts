import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Tell } from '../../configs/tell.ts'
import { REJECTION_KINDS, type RejectionKind } from '../../datasets/log/event-field.ts'
import { LABEL_COUNTS } from '../../features/fold/fraud-labels.ts'
import type { Champion } from '../model/champion.ts'
import type { ScoredBatch } from '../scorer/batch.ts'
import { latencyOf } from './latency.ts'

/** Seconds from append to durable prediction: a millisecond on an idle machine, minutes behind a backlog. */
const LATENCY_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300]
const CHECKPOINT_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30]

/**
 * Every metric of the scorer. prom-client adds its own of the process (`process_…`, `nodejs_…`). Counters count
 * from the start of the process; a `rate()` over them survives a restart. Units are Prometheus's base units: seconds,
 * records.
 */
export const SCORER_METRICS = {
  scored: {
    type: 'counter',
    name: 'fd_transactions_scored_total',
    help: 'Transactions scored, their predictions durable.',
  },
  alerts: { type: 'counter', name: 'fd_alerts_total', help: 'Of these, those at or above the threshold.' },
  rejected: {
    type: 'counter',
    name: 'fd_records_rejected_total',
    help: 'Records that are no transaction, now dead letters, by the kind of fault.',
    labels: ['kind'],
  },
  late: {
    type: 'counter',
    name: 'fd_transactions_late_total',
    help: 'Transactions that came later than the allowed lateness and were scored with what was known.',
  },
  truncated: {
    type: 'counter',
    name: 'fd_transactions_truncated_total',
    help: 'Transactions of a key with more events than a view keeps, scored with the newest of them.',
  },
  labels: { type: 'counter', name: 'fd_labels_total', help: 'Fraud labels folded.' },
  early: {
    type: 'counter',
    name: 'fd_labels_early_total',
    help: 'Fraud labels that came before their transaction; a view holds them for it.',
  },
  matched: {
    type: 'counter',
    name: 'fd_labels_matched_total',
    help: 'Held fraud labels whose transaction has come.',
  },
  unmatched: {
    type: 'counter',
    name: 'fd_labels_unmatched_total',
    help: 'Fraud labels that a view gave up: no transaction of their key, id and time came while it could count.',
  },
  replayed: {
    type: 'counter',
    name: 'fd_records_replayed_total',
    help: 'Records folded again after a restart, their outputs already written.',
  },
  batches: { type: 'counter', name: 'fd_batches_total', help: 'Batches committed.' },
  latency: {
    type: 'histogram',
    name: 'fd_prediction_latency_seconds',
    help: 'From the append of a transaction to its durable prediction, where its timestamp can be that of an append.',
    buckets: LATENCY_BUCKETS,
  },
  checkpoints: {
    type: 'histogram',
    name: 'fd_checkpoint_seconds',
    help: 'Writing changed state to the online store; its count is that of the checkpoints.',
    buckets: CHECKPOINT_BUCKETS,
  },
  outages: { type: 'counter', name: 'fd_outages_total', help: 'Times a service was lost.', labels: ['service'] },
  outageSeconds: {
    type: 'counter',
    name: 'fd_outage_seconds_total',
    help: 'Time waited for a lost service, the present wait included.',
    labels: ['service'],
  },
  up: {
    type: 'gauge',
    name: 'fd_service_up',
    help: '1 while the service answers, 0 while it is waited for.',
    labels: ['service'],
  },
  champion: {
    type: 'gauge',
    name: 'fd_champion_info',
    help: '1 for the model version that decides now.',
    labels: ['model', 'version'],
  },
  swaps: { type: 'counter', name: 'fd_champion_swaps_total', help: 'Changes to a new champion since the start.' },
  refusals: {
    type: 'counter',
    name: 'fd_champion_refusals_total',
    help: 'New champions that were refused, or looks at the registry that failed; the old one went on.',
  },
  owned: {
    type: 'gauge',
    name: 'fd_partitions_owned',
    help: 'Partitions of the topic transactions that this process scores; 0 while it stands by.',
  },
  lag: {
    type: 'gauge',
    name: 'fd_consumer_lag_records',
    help: 'Records of a partition that are in the log and not yet scored.',
    labels: ['partition'],
  },
} as const

/** A service that the scorer depends on and can lose. */
export type MeteredService = 'event_log' | 'online_store'

/** The number of records that wait in each partition of this process. */
export type Lag = ReadonlyMap<number, number>

/** The scorer's events go in; the text that Prometheus reads comes out. */
export interface ScorerMetrics {
  onStart(champion: Champion): void
  onSwap(champion: Champion): void
  onRefused(): void
  onBatch(batch: ScoredBatch): void
  onCheckpoint(milliseconds: number): void
  /** Replaces the lag reported before: partitions that went to another process disappear. NaN: unknown. */
  onLag(lag: Lag): void
  /** The listener for the news of a service's driver. */
  hear(service: MeteredService): Tell
  /** Services that the scorer is waiting for at the moment. */
  lost(): MeteredService[]
  /** The exposition format. */
  text(): Promise<string>
  contentType: string
}

const SERVICES: MeteredService[] = ['event_log', 'online_store']

/** Metrics of one scorer. `now`: wall clock, ms. */
export function scorerMetrics(now: () => number): ScorerMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const instruments = makeInstruments(registry)
  const outages = outageMeter(instruments, now)
  return {
    ...championMeter(instruments),
    ...lagMeter(instruments),
    onBatch: batchMeter(instruments),
    onCheckpoint: (milliseconds) => instruments.checkpoints.observe(milliseconds / 1000),
    hear: outages.hear,
    lost: outages.lost,
    text: () => {
      outages.settle()
      return registry.metrics()
    },
    contentType: registry.contentType,
  }
}

type Instruments = ReturnType<typeof makeInstruments>

/** The registry prints its metrics in the order in which they are made here. */
function makeInstruments(registry: Registry) {
  const registers = [registry]
  const counter = (key: keyof typeof SCORER_METRICS): Counter => new Counter({ ...definition(key), registers })
  const gauge = (key: keyof typeof SCORER_METRICS): Gauge => new Gauge({ ...definition(key), registers })
  const histogram = (key: keyof typeof SCORER_METRICS, buckets: number[]): Histogram =>
    new Histogram({ ...definition(key), buckets, registers })
  return {
    scored: counter('scored'),
    alerts: counter('alerts'),
    rejected: counter('rejected'),
    late: counter('late'),
    truncated: counter('truncated'),
    labels: counter('labels'),
    early: counter('early'),
    matched: counter('matched'),
    unmatched: counter('unmatched'),
    replayed: counter('replayed'),
    batches: counter('batches'),
    owned: gauge('owned'),
    lag: gauge('lag'),
    latency: histogram('latency', LATENCY_BUCKETS),
    checkpoints: histogram('checkpoints', CHECKPOINT_BUCKETS),
    outages: counter('outages'),
    outageSeconds: counter('outageSeconds'),
    up: gauge('up'),
    champion: gauge('champion'),
    swaps: counter('swaps'),
    refusals: counter('refusals'),
  }
}

function definition(key: keyof typeof SCORER_METRICS): { name: string; help: string; labelNames: string[] } {
  const metric = SCORER_METRICS[key]
  return { name: metric.name, help: metric.help, labelNames: 'labels' in metric ? [...metric.labels] : [] }
}

function batchMeter(instruments: Instruments): ScorerMetrics['onBatch'] {
  const { scored, alerts, rejected, late, truncated, labels, replayed, batches, latency } = instruments
  // Prometheus sees no rise in a series that begins at 1, so the first fault of a kind would go unnoticed.
  for (const kind of REJECTION_KINDS) rejected.inc({ kind }, 0)
  return (batch) => {
    scored.inc(batch.scored)
    alerts.inc(batch.alerts)
    late.inc(batch.late)
    truncated.inc(batch.truncated)
    labels.inc(batch.labels)
    for (const key of LABEL_COUNTS) instruments[key].inc(batch[key])
    replayed.inc(batch.replayed)
    batches.inc()
    for (const [kind, count] of Object.entries(batch.rejections) as [RejectionKind, number][])
      rejected.inc({ kind }, count)
    for (const timestamp of batch.timestamps) {
      const milliseconds = latencyOf(timestamp, batch.done)
      // One unknown latency would spoil the sum for good.
      if (!Number.isNaN(milliseconds)) latency.observe(milliseconds / 1000)
    }
  }
}

function lagMeter(instruments: Instruments): Pick<ScorerMetrics, 'onLag'> {
  return {
    onLag: (lag) => {
      instruments.lag.reset()
      for (const [partition, records] of lag) instruments.lag.set({ partition: String(partition) }, records)
      instruments.owned.set(lag.size)
    },
  }
}

/** Keeps one series at a time: that of the version which decides. */
function championMeter({
  champion,
  swaps,
  refusals,
}: Instruments): Pick<ScorerMetrics, 'onStart' | 'onSwap' | 'onRefused'> {
  const decide = ({ name, version }: Champion): void => {
    champion.reset()
    champion.set({ model: name, version: String(version) }, 1)
  }
  return {
    onStart: decide,
    onSwap: (next) => {
      decide(next)
      swaps.inc()
    },
    onRefused: () => refusals.inc(),
  }
}

/** Turns `lost` and `back` into counts and seconds. A service that is lost again before it is back counts once. */
function outageMeter(
  { outages, outageSeconds, up }: Instruments,
  now: () => number,
): Pick<ScorerMetrics, 'hear' | 'lost'> & { settle(): void } {
  /** When the wait for a service began, or was last added to the counter. */
  const since = new Map<MeteredService, number>()
  const settle = (): void => {
    for (const [service, begun] of since) {
      const until = now()
      outageSeconds.inc({ service }, Math.max(0, until - begun) / 1000)
      since.set(service, until)
    }
  }
  for (const service of SERVICES) {
    up.set({ service }, 1)
    outages.inc({ service }, 0)
    outageSeconds.inc({ service }, 0)
  }
  return {
    settle,
    lost: () => [...since.keys()],
    hear: (service) => (_, outage) => {
      if (outage === undefined || (outage === 'lost') === since.has(service)) return
      settle()
      if (outage === 'back') since.delete(service)
      else {
        since.set(service, now())
        outages.inc({ service })
      }
      up.set({ service }, outage === 'back' ? 1 : 0)
    },
  }
}
