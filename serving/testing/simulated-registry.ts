import { UserError } from '../../configs/user-error.ts'
import type { Random } from '../../datasets/random/random.ts'
import type { SimulatedProcess } from '../../datasets/testing/simulation.ts'
import { featureNames, serviceDigest } from '../../features/view/view.ts'
import { modelCardTags, readModelCard, type ModelCard } from '../../registry/model-card.ts'
import { promote } from '../../registry/promotion/promotion.ts'
import { presentThreshold, setThreshold, thresholdsOf } from '../../registry/promotion/threshold.ts'
import type { Registry } from '../../registry/registry.ts'
import { immediate, sqliteWorld } from '../../registry/testing/registry-worlds.ts'
import type { Champion, ChampionSource } from '../model/champion.ts'
import type { Judge } from '../prediction.ts'
import { schema, service } from './small-stream.ts'
import { GROUP, JUDGE, standIn } from './stand-in.ts'

export const ALIAS = 'champion'
const NAME = JUDGE.name

/** Versions that can follow each other. */
const FIT = [1, 2, 3]
/** Of another service; with a broken graph; for a stream of another form. */
const [OTHER_SERVICE, BROKEN, OTHER_STREAM] = [4, 5, 6]

/** A scorer that starts while the alias points at a version that cannot follow the others. */
const CANNOT_START = 'There is no way to begin with version'

/** The registry of a simulation of scorers, with a champion that changes while they run. */
export class SimulatedRegistry {
  readonly #world = sqliteWorld()
  /** Told when a batch is scored by a version that is not the champion of its process at that moment. */
  onViolation: (what: string) => void = () => {}

  async fill(): Promise<void> {
    const registry = this.#world.open(immediate)
    const source = await this.#world.logModel()
    await registry.createRegisteredModel(NAME)
    for (let version = 1; version <= OTHER_STREAM; version++)
      await registry.createModelVersion({ name: NAME, source, tags: modelCardTags(cardOf(version)) })
    await registry.setRegisteredModelAlias(NAME, ALIAS, FIT[0])
  }

  open(process: SimulatedProcess): Registry {
    return this.#world.open(process)
  }

  /** Changes the champion, or a threshold, a number of times. The last champion is one that fits. */
  async change(process: SimulatedProcess, random: Random, times: number): Promise<void> {
    const registry = this.open(process)
    for (let left = times; left > 0; left--) {
      for (let waits = random.integer(20); waits > 0; waits--) await process.wait(1)
      const fit = FIT[random.integer(FIT.length)]
      const asked = { name: NAME, by: process.name, reason: 'simulated', now: process.now() }
      if (random.integer(3) === 0) {
        const threshold = random.integer(16) / 16
        await setThreshold(registry, { ...asked, version: fit, card: cardOf(fit), threshold })
        continue
      }
      const version = left > 1 && random.integer(3) === 0 ? OTHER_SERVICE + random.integer(3) : fit
      await promote(registry, { ...asked, alias: ALIAS, version, gates: [], force: true })
    }
    const version = FIT[random.integer(FIT.length)]
    await promote(registry, { name: NAME, by: process.name, now: process.now(), alias: ALIAS, version, gates: [] })
  }

  /** Loads versions as a scorer process does, and gives its model's answers in steps of the process. */
  championsOf(process: SimulatedProcess): ChampionSource & { onSwap: (champion: Champion) => void } {
    let current: number | undefined
    const load = async (registry: Registry, name: string, version: number): Promise<Champion> => {
      const card = readModelCard(await registry.getModelVersion(name, version))
      await process.call('graph', () => {})
      if (version === BROKEN) throw new UserError(`Version ${version} is not an ONNX model`)
      if (current === undefined && !FIT.includes(version)) throw new UserError(`${CANNOT_START} ${version}`)
      const threshold = presentThreshold(await registry.getRegisteredModel(name), version, card)
      current ??= version
      const score: Champion['model']['score'] = ({ numbers, rows }) => {
        if (version !== current) this.onViolation(`${process.name} scores by ${version}, its champion is ${current}`)
        return process.call('model', () => standIn(numbers, rows, version))
      }
      const model = { score, [Symbol.asyncDispose]: async () => {} }
      return { name, version, card, threshold, service, model, [Symbol.asyncDispose]: async () => {} }
    }
    return {
      load,
      // A wait cannot fail, unlike the calls of a process.
      pause: (ms) =>
        process.wait(ms).then(
          () => {},
          () => {},
        ),
      onSwap: ({ version }) => void (current = version),
    }
  }

  /** Who may have decided: each version that fits, with each threshold that it ever had. */
  async judges(): Promise<Judge[]> {
    const model = await this.#world.open(immediate).getRegisteredModel(NAME)
    return FIT.flatMap((version) =>
      thresholdsOf(model, version, cardOf(version)).map(({ value, entry }) => ({
        name: NAME,
        version,
        threshold: value,
        entry,
        group: GROUP,
      })),
    )
  }
}

/** Whether a scorer ended because it began while the alias pointed at a version that cannot be begun with. */
export function couldNotStart(error: unknown): boolean {
  return (
    error instanceof UserError && (error.message.startsWith(CANNOT_START) || /is not an ONNX model/.test(error.message))
  )
}

function cardOf(version: number): ModelCard {
  const digest = version === OTHER_SERVICE ? 'other' : serviceDigest(service)
  const amount = { ...schema.amount, minorUnits: version === OTHER_STREAM ? 3 : schema.amount.minorUnits }
  return {
    service: { name: service.name, digest },
    dataset: { name: 'small', digest: 'e', schema: { ...schema, amount } },
    holdout: { digest: 'f', rows: 1 },
    signature: {
      features: featureNames(service),
      input: { name: 'x', dtype: 'float32', shape: [-1, 1] },
      outputs: [{ name: 'score', dtype: 'float32', shape: [-1] }],
    },
    threshold: JUDGE.threshold,
    metrics: {},
    codeVersion: 'test',
  }
}
