import type { Config } from '../../configs/config.ts'
import type { Tell } from '../../configs/tell.ts'
import type { GroupMember } from '../../datasets/log/event-log.ts'
import type { OnlineStore } from '../../features/store/online-store.ts'
import { watchLag } from '../../serving/metrics/lag.ts'
import type { MeteredService, ScorerMetrics } from '../../serving/metrics/metrics.ts'
import type { ScorerOptions, ScorerParts } from '../../serving/scorer/scorer.ts'
import { TRANSACTIONS } from '../../serving/topics.ts'
import { wallClock } from '../console/command.ts'

/** Measures a scorer from outside: it wraps the parts and options of the scorer, which does not know of it. */
export interface Meter extends AsyncDisposable {
  /** Counts the outages of a service, as told by the driver of that service. */
  hear(service: MeteredService): Tell
  /** The parts, with checkpoints timed and the lag watched until they are disposed. Dispose them before the log. */
  parts(parts: ScorerParts): ScorerParts & Disposable
  /** The options, with callbacks that also update the metrics. */
  options(options: ScorerOptions): ScorerOptions
}

const LAG_EVERY_MS = 2000

/** Hears nothing and changes nothing. */
const NO_METER: Meter = {
  hear: () => () => {},
  parts: (parts) => ({ ...parts, [Symbol.dispose]: () => {} }),
  options: (options) => options,
  [Symbol.asyncDispose]: async () => {},
}

/** Serves /metrics and /healthz on the given port, and notes where. Without a port it is a meter that does nothing. */
export async function openMeter({ host, port }: Config['metrics'], note: (line: string) => void): Promise<Meter> {
  if (port === undefined) return NO_METER
  const [{ scorerMetrics }, { serveMetrics }] = await Promise.all([
    import('../../serving/metrics/metrics.ts'),
    import('../../serving/metrics/server.ts'),
  ])
  const metrics = scorerMetrics(wallClock)
  let state: 'starting' | 'standing by' | 'scoring' = 'starting'
  const health = (): { state: string; lost: string[] } => ({ state, lost: metrics.lost() })
  const server = await serveMetrics(
    { host, port },
    {
      '/metrics': async () => ({ status: 200, type: metrics.contentType, text: await metrics.text() }),
      // Tells a person or a load balancer whether work is done. A scorer that waits for a broker needs no restart.
      '/healthz': async () => ({
        status: state === 'starting' || health().lost.length > 0 ? 503 : 200,
        type: 'application/json',
        text: `${JSON.stringify(health())}\n`,
      }),
    },
  )
  note(`Metrics: ${server.url}/metrics`)
  return {
    hear: metrics.hear,
    parts: (parts) => meteredParts(parts, metrics),
    options: (options) => heard(options, metrics, (next) => (state = next)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

function meteredParts({ log, store, registry }: ScorerParts, metrics: ScorerMetrics): ScorerParts & Disposable {
  let member: GroupMember | undefined
  const watching = watchLag(log, {
    topic: TRANSACTIONS,
    everyMs: LAG_EVERY_MS,
    positions: () => member?.committed ?? new Map(),
    report: metrics.onLag,
  })
  const join: typeof log.join = async (group, topic, ...given) => {
    const joined = await log.join(group, topic, ...given)
    if (topic === TRANSACTIONS) member = joined
    return joined
  }
  return {
    log: { ...log, join },
    store: timed(store, metrics),
    registry,
    [Symbol.dispose]: () => watching[Symbol.dispose](),
  }
}

/** The store, with the time that each checkpoint takes to be written. */
function timed(store: OnlineStore, metrics: ScorerMetrics): OnlineStore {
  return {
    ...store,
    take: async (...given) => {
      const state = await store.take(...given)
      const write: typeof state.write = async (...what) => {
        const begun = wallClock()
        await state.write(...what)
        metrics.onCheckpoint(wallClock() - begun)
      }
      return { ...state, write }
    },
  }
}

function heard(
  options: ScorerOptions,
  metrics: ScorerMetrics,
  become: (state: 'standing by' | 'scoring') => void,
): ScorerOptions {
  return {
    ...options,
    onStandby: (topic) => {
      become('standing by')
      options.onStandby?.(topic)
    },
    onAssigned: (topic, from) => {
      become('scoring')
      options.onAssigned?.(topic, from)
    },
    onRevoked: (topic, partitions, left) => {
      if (left === 0) become('standing by')
      options.onRevoked?.(topic, partitions, left)
    },
    onStart: (champion, ...given) => {
      metrics.onStart(champion)
      options.onStart?.(champion, ...given)
    },
    onSwap: (champion) => {
      metrics.onSwap(champion)
      options.onSwap?.(champion)
    },
    onRefused: (error) => {
      metrics.onRefused()
      options.onRefused?.(error)
    },
    onBatch: (batch) => {
      metrics.onBatch(batch)
      options.onBatch?.(batch)
    },
  }
}
