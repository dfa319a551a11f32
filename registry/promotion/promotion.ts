import { UserError } from '../../configs/user-error.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { modelCardTags, readModelCard, type ModelCard } from '../model-card.ts'
import type { ModelVersion, RegisteredModel } from '../model.ts'
import { checkAlias } from '../naming.ts'
import type { Registry } from '../registry.ts'
import type { Candidate, Champion, Check, Gate } from './gate.ts'
import { appendEvent, checkReason, historyOf, holderOf, holders, type HistoryEvent } from './history.ts'

/** Who asks, why and when: what every entry of the history carries. */
export interface Asked {
  by: string
  reason?: string
  now: EpochMs
}

export interface Registration extends Asked {
  name: string
  /** `runs:/RUN_ID/FOLDER`, as `logOnnxModel` returns it. */
  source: string
  card: ModelCard
  description?: string
}

export interface PromotionRequest extends Asked {
  name: string
  version: number
  alias: string
  /** Judged in order, all of them, whatever the first ones say. */
  gates: Gate[]
  /** Moves the alias although gates refuse. Needs a `reason`. */
  force?: boolean
}

export interface RollbackRequest extends Asked {
  name: string
  alias: string
}

export interface Rollback {
  /** The version that the alias left; undefined when another tool had removed the alias. */
  from: number | undefined
  /** The version that the alias points at now. */
  to: number
}

export interface Verdict {
  /** Every gate passed. */
  passed: boolean
  checks: Check[]
  /**
   * `promoted`: the alias moved. `forced`: it moved although a gate refused. `refused`: it did not move. `unchanged`:
   * the version held the alias already, and no gate was asked.
   */
  outcome: 'promoted' | 'forced' | 'refused' | 'unchanged'
  alias: string
  version: number
  /** The version that held the alias before. */
  previous: number | undefined
}

/** Somebody else wrote between our reading and writing this often in a row: that is a loop somewhere, not chance. */
const MAX_ATTEMPTS = 1_000

/**
 * Registers a version with its card, makes the model when it is new, and records who did so and why.
 *
 * Version and record are two writes. A kill between them leaves a version that can be promoted, without an entry on who
 * made it.
 */
export async function register(registry: Registry, registration: Registration): Promise<ModelVersion> {
  const { name, source, card, description, by, reason, now } = registration
  checkReason(reason)
  await registry.createRegisteredModel(name, { mayExist: true })
  const version = await registry.createModelVersion({ name, source, description, tags: modelCardTags(card) })
  await untilWritten(
    name,
    async () => {
      const model = await registry.getRegisteredModel(name)
      const event = { event: 'registered', version: version.version, at: now, by, reason } as const
      return (await appendEvent(registry, model, event)) || undefined
    },
    `Version ${version.version} is registered and can be promoted, but the history does not say by whom.`,
  )
  return version
}

/**
 * Moves `alias` to a version when every gate passes, and records it: the record and the move are one write.
 *
 * The gates compare with the holder of that alias. When another promotion moves it while they judge, they judge again,
 * against the new holder. A refusal is a Verdict, not an error.
 *
 * @throws UserError for an unknown model or version, one that `fd` did not register, or `force` without a reason.
 */
export async function promote(registry: Registry, request: PromotionRequest): Promise<Verdict> {
  const { name, version, alias, force = false, reason } = request
  checkAlias(alias)
  checkReason(reason)
  if (force && (reason ?? '').trim() === '') {
    throw new UserError(
      'A forced promotion needs a reason, for the history. ' +
        `Run: fd models promote ${name} ${version} --force --reason TEXT`,
    )
  }
  return untilWritten(name, () => tryToPromote(registry, request))
}

/** @returns undefined, with nothing written, when another writer came first. */
async function tryToPromote(registry: Registry, request: PromotionRequest): Promise<Verdict | undefined> {
  const { name, version, alias, gates, force = false, by, reason, now } = request
  const model = await registry.getRegisteredModel(name)
  const candidate = await registry.getModelVersion(name, version)
  const previous = holderOf(model, alias)
  if (previous === version) return { passed: true, checks: [], outcome: 'unchanged', alias, version, previous }
  const checks = await judge(registry, gates, candidate, previous)
  const passed = checks.every((check) => check.passed)
  if (!passed && !force) return { passed, checks, outcome: 'refused', alias, version, previous }
  const move = { alias, expected: previous, version }
  const event: HistoryEvent = {
    event: 'promoted',
    alias,
    version,
    from: previous,
    forced: !passed,
    checks,
    at: now,
    by,
    reason,
  }
  if (!(await appendEvent(registry, model, event, move))) return undefined
  return { passed, checks, outcome: passed ? 'promoted' : 'forced', alias, version, previous }
}

/**
 * Moves `alias` back to the version that held it before, by the record (`holders` has the rule). It passes over
 * versions that were deleted since. No gate is asked: they passed when the version was promoted, and a rollback must
 * not wait.
 *
 * @throws UserError for an unknown model, or when there is nothing to go back to.
 */
export async function rollback(registry: Registry, request: RollbackRequest): Promise<Rollback> {
  checkAlias(request.alias)
  checkReason(request.reason)
  return untilWritten(request.name, () => tryToRollBack(registry, request))
}

/** @returns undefined, with nothing written, when another writer came first. */
async function tryToRollBack(registry: Registry, request: RollbackRequest): Promise<Rollback | undefined> {
  const { name, alias, by, reason, now } = request
  const model = await registry.getRegisteredModel(name)
  const from = holderOf(model, alias)
  const to = await holderBefore(registry, model, alias)
  if (to === undefined) {
    const place = from === undefined ? 'is not set' : `stands at version ${from}, and none held it before`
    throw new UserError(`Nothing to roll back to: ${alias} of "${name}" ${place}. See: fd models history ${name}`)
  }
  const event: HistoryEvent = { event: 'rolled back', alias, version: to, from, at: now, by, reason }
  const written = await appendEvent(registry, model, event, { alias, expected: from, version: to })
  return written ? { from, to } : undefined
}

/** The last version that held the alias before its present holder and still exists. */
async function holderBefore(registry: Registry, model: RegisteredModel, alias: string): Promise<number | undefined> {
  const holder = holderOf(model, alias)
  const versions = await registry.searchModelVersions({ name: model.name })
  const existing = new Set(versions.map(({ version }) => version))
  return holders(historyOf(model), alias).findLast((version) => existing.has(version) && version !== holder)
}

async function judge(
  registry: Registry,
  gates: Gate[],
  version: ModelVersion,
  holder: number | undefined,
): Promise<Check[]> {
  const candidate: Candidate = { version, card: readModelCard(version) }
  const champion = holder === undefined ? undefined : championOf(await registry.getModelVersion(version.name, holder))
  const checks: Check[] = []
  for (const gate of gates) {
    try {
      checks.push(await gate.judge(candidate, champion))
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      checks.push({ gate: gate.name, passed: false, detail: error.message })
    }
  }
  return checks
}

function championOf(version: ModelVersion): Champion {
  try {
    return { version, card: readModelCard(version) }
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return { version, card: undefined }
  }
}

/**
 * Repeats `attempt` while it resolves to undefined: another writer came first, so what was read is stale.
 *
 * @param state what is written should it never succeed.
 */
export async function untilWritten<T>(
  name: string,
  attempt: () => Promise<T | undefined>,
  state = 'Nothing was written.',
): Promise<T> {
  for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
    const result = await attempt()
    if (result !== undefined) return result
  }
  throw new UserError(
    `Others changed the history of "${name}" ${MAX_ATTEMPTS} times while this waited. ${state} ` +
      `See who: fd models history ${name}`,
  )
}
