import { setTimeout as wait } from 'node:timers/promises'
import { UserError } from '../../configs/user-error.ts'
import { otherStream } from '../../datasets/table/schema-fit.ts'
import { referencedService } from '../../features/catalog.ts'
import { categoryColumns, featureNames, serviceDigest, type FeatureService } from '../../features/view/view.ts'
import { readModelCard, type ModelCard } from '../../registry/model-card.ts'
import { presentThreshold, type Threshold } from '../../registry/promotion/threshold.ts'
import type { Registry } from '../../registry/registry.ts'
import { openOnnxModel, type OnnxModel } from './onnx-model.ts'

/** File name of the graph among a version's artifacts. MLflow's onnx flavor uses the same name. */
const GRAPH = 'model.onnx'

/** A registered version, loaded and checked. */
export interface Champion extends AsyncDisposable {
  name: string
  version: number
  card: ModelCard
  /** By which it decides now. */
  threshold: Threshold
  service: FeatureService
  model: OnnxModel
}

/**
 * Loads a version and checks that this code computes the features it was trained on.
 *
 * @throws UserError when the version, its card or its graph is missing or damaged, or when its features are not those
 * of the service.
 */
export async function loadVersion(registry: Registry, name: string, version: number): Promise<Champion> {
  const card = readModelCard(await registry.getModelVersion(name, version))
  const service = referencedService(card.service, card.dataset.schema, `What version ${version} of "${name}" carries`)
  const computed = featureNames(service)
  const { features, input, categories, outputs } = card.signature
  if (features.join('\n') !== computed.join('\n') || card.service.digest !== serviceDigest(service)) {
    throw otherDefinition(name, version, card, service)
  }
  const graph = await registry.downloadModelArtifact(name, version, GRAPH)
  const spec = {
    input: input.name,
    output: outputs[0].name,
    width: computed.length,
    categorical: categoryColumns(service, card.dataset.schema).map(({ feature }) => feature),
    categories: categories?.name,
  }
  const model = await openOnnxModel(graph, `Version ${version} of "${name}"`, spec)
  const threshold = presentThreshold(await registry.getRegisteredModel(name), version, card)
  return { name, version, card, threshold, service, model, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() }
}

function otherDefinition(name: string, version: number, card: ModelCard, service: FeatureService): UserError {
  return new UserError(
    `Version ${version} of "${name}" was trained on another definition of service "${service.name}" ` +
      `than this fd computes (its features: ${card.signature.features.join(', ')}). ` +
      `Train it again: fd train --dataset ${card.dataset.name} --register ${name}`,
  )
}

export interface ChampionWatch extends AsyncDisposable {
  /** The newest champion that could be loaded. Ask once for each batch, so that the batch has one judge. */
  current(): Champion
}

/** How a watch loads a version, and how it waits between two looks; the wait ends early when the signal aborts. */
export interface ChampionSource {
  load(registry: Registry, name: string, version: number): Promise<Champion>
  pause(ms: number, signal: AbortSignal): Promise<void>
}

const SOURCE: ChampionSource = {
  load: loadVersion,
  pause: (ms, signal) =>
    wait(ms, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    }),
}

export interface ChampionWatchOptions {
  name: string
  alias: string
  everyMs: number
  /** A new champion decides from the next batch on. */
  onSwap: (champion: Champion) => void
  /** The champion decides by another threshold from the next batch on. */
  onThreshold: (champion: Champion) => void
  /** A new champion was refused, or the registry does not answer; the old one goes on. Called once for each cause. */
  onRefused: (error: unknown) => void
  /** Default: the graphs of the registry, and the clock of this machine. */
  source?: ChampionSource | undefined
}

/**
 * Loads the version that the alias points to, and keeps asking whether the alias has moved, or the threshold was set. A
 * new version is loaded beside the old one and replaces it between two batches. A version of another service or of
 * another stream, or a broken one, is refused: the old one goes on scoring.
 *
 * @throws UserError when there is no champion at the start.
 */
export async function watchChampion(registry: Registry, options: ChampionWatchOptions): Promise<ChampionWatch> {
  const { source = SOURCE } = options
  const first = await registry.getModelVersionByAlias(options.name, options.alias)
  let current = await source.load(registry, options.name, first.version)
  const retired: Champion[] = []
  const stop = new AbortController()
  let looks = 0
  const lookAtThreshold = async (): Promise<void> => {
    if (++looks % LOOKS_AT_THRESHOLD !== 0) return
    const model = await registry.getRegisteredModel(options.name)
    const threshold = presentThreshold(model, current.version, current.card)
    if (threshold.entry === current.threshold.entry) return
    current = { ...current, threshold }
    options.onThreshold(current)
  }
  const look = async (): Promise<void> => {
    const version = await registry.aliasVersion(options.name, options.alias)
    if (version === undefined) return
    if (version === current.version) return lookAtThreshold()
    const next = await source.load(registry, options.name, version)
    const refusal = unfitSuccessor(next, current)
    if (refusal !== undefined) {
      await next[Symbol.asyncDispose]()
      throw refusal
    }
    // A batch in flight may still use the old one, so it is released at the end and not now.
    retired.push(current)
    current = next
    options.onSwap(next)
  }
  const loop = watch(look, options, stop.signal)
  return {
    current: () => current,
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await loop
      for (const champion of [...retired, current]) await champion[Symbol.asyncDispose]()
    },
  }
}

/** Why one champion cannot follow another over the same state. */
function unfitSuccessor(next: Champion, current: Champion): UserError | undefined {
  if (next.card.service.digest !== current.card.service.digest) return otherService(next, current)
  const what = `Version ${next.version} of "${next.name}"`
  const mismatch = otherStream(what, current.card.dataset.schema, next.card.dataset.schema)
  return mismatch === undefined ? undefined : new UserError(mismatch)
}

function otherService(next: Champion, current: Champion): UserError {
  return new UserError(
    `Version ${next.version} of "${next.name}" reads service "${next.service.name}", ` +
      `this scorer computes "${current.service.name}". Start another scorer for it: fd score --group NAME`,
  )
}

/** The threshold stands in the model's history, which is more to read than the number that an alias points at. */
const LOOKS_AT_THRESHOLD = 4

/** A refused version is tried again, but not at every look: loading a graph costs more than asking for a number. */
const LOOKS_AFTER_REFUSAL = 20

async function watch(look: () => Promise<void>, options: ChampionWatchOptions, signal: AbortSignal): Promise<void> {
  const { pause } = options.source ?? SOURCE
  let told = ''
  while (!signal.aborted) {
    let time = options.everyMs
    try {
      await look()
      told = ''
    } catch (error) {
      if (String(error) !== told) options.onRefused(error)
      told = String(error)
      time *= LOOKS_AFTER_REFUSAL
    }
    await pause(time, signal)
  }
}
