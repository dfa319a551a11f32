import { setTimeout as wait } from 'node:timers/promises'
import { UserError } from '../../configs/user-error.ts'
import { featureService } from '../../features/catalog.ts'
import { featureNames, serviceDigest, type FeatureService } from '../../features/view/view.ts'
import { readModelCard, type ModelCard } from '../../registry/model-card.ts'
import type { Registry } from '../../registry/registry.ts'
import { openOnnxModel, type OnnxModel } from './onnx-model.ts'

/** Name of the graph in a version's folder, as MLflow's onnx flavor names it. */
const GRAPH = 'model.onnx'

/** A registered version, loaded and checked. */
export interface Champion extends AsyncDisposable {
  name: string
  version: number
  card: ModelCard
  service: FeatureService
  model: OnnxModel
}

/**
 * Loads a version and checks that this code computes what it was trained on.
 *
 * @throws UserError when the version, its card or its graph is missing or damaged, or its features are not those of the service.
 */
export async function loadVersion(registry: Registry, name: string, version: number): Promise<Champion> {
  const card = readModelCard(await registry.getModelVersion(name, version))
  const service = featureService(card.service.name, card.dataset.schema)
  const computed = featureNames(service)
  if (card.signature.features.join('\n') !== computed.join('\n') || card.service.digest !== serviceDigest(service)) {
    throw new UserError(
      `Version ${version} of "${name}" was trained on another definition of service "${service.name}" than this fd computes ` +
        `(its features: ${card.signature.features.join(', ')}). Train it again: fd train --dataset ${card.dataset.name} --register ${name}`,
    )
  }
  const graph = await registry.downloadModelArtifact(name, version, GRAPH)
  const spec = { input: card.signature.input.name, output: card.signature.outputs[0].name, width: computed.length }
  const model = await openOnnxModel(graph, `Version ${version} of "${name}"`, spec)
  return { name, version, card, service, model, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() }
}

export interface ChampionWatch extends AsyncDisposable {
  /** The newest champion that could be loaded; taken at the start of each batch, so a batch has one judge. */
  current(): Champion
}

export interface ChampionWatchOptions {
  name: string
  alias: string
  everyMs: number
  /** A new champion is in place, from the next batch on. */
  onSwap: (champion: Champion) => void
  /** A new champion was refused, or the registry cannot be asked; the old one goes on. Told once a cause. */
  onRefused: (error: unknown) => void
}

/**
 * Loads the alias's version and keeps asking whether it has moved. A new version is loaded beside the old one and replaces
 * it between two batches. A version of another service, or a broken one, is refused: the old one goes on scoring.
 *
 * @throws UserError when there is no champion at the start.
 */
export async function watchChampion(registry: Registry, options: ChampionWatchOptions): Promise<ChampionWatch> {
  const first = await registry.getModelVersionByAlias(options.name, options.alias)
  let current = await loadVersion(registry, options.name, first.version)
  const retired: Champion[] = []
  const stop = new AbortController()
  const look = async (): Promise<void> => {
    const version = await registry.aliasVersion(options.name, options.alias)
    if (version === undefined || version === current.version) return
    const next = await loadVersion(registry, options.name, version)
    if (next.card.service.digest !== current.card.service.digest) {
      await next[Symbol.asyncDispose]()
      throw new UserError(
        `Version ${version} of "${options.name}" reads service "${next.service.name}", this scorer computes "${current.service.name}". Start another scorer for it: fd score --group NAME`,
      )
    }
    // A batch in flight may still hold the old one, so it is released at the end, not now.
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

/** A version that was refused is tried again, but not at every look: loading a graph costs more than asking for a number. */
const LOOKS_AFTER_REFUSAL = 20

async function watch(look: () => Promise<void>, options: ChampionWatchOptions, signal: AbortSignal): Promise<void> {
  let told = ''
  while (!signal.aborted) {
    let pause = options.everyMs
    try {
      await look()
      told = ''
    } catch (error) {
      if (String(error) !== told) options.onRefused(error)
      told = String(error)
      pause *= LOOKS_AFTER_REFUSAL
    }
    await wait(pause, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}
