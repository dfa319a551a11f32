import { UserError } from '../configs/user-error.ts'
import { isBlank } from '../datasets/table/key.ts'
import { HOUR, type EpochMs } from '../datasets/table/transaction.ts'
import type { AskedKeys } from './asked-keys.ts'
import { decodeState } from './fold/entity-state.ts'
import { viewSettings } from './fold/fold-settings.ts'
import { DerivedFeatures } from './fold/row-features.ts'
import { ViewFold } from './fold/view-fold.ts'
import type { GroupState } from './store/online-store.ts'
import { featureNames, type AggregateView, type FeatureService } from './view/view.ts'

/** The aggregates of one entity's key at one instant. */
export interface OnlineFeatures {
  entity: string
  key: number | string
  at: EpochMs
  features: Record<string, number>
  /** Present where `at` lies before what the store still holds for certain: the views whose windows may lack events. */
  incomplete?: string[]
}

/** The aggregates of some entities at one instant, each by one key, as one transaction of theirs would find them. */
export interface OnlineRow {
  /** The key by entity: a number or a text as the store has it, the text that was asked for where it has none. */
  keys: Record<string, number | string>
  /**
   * Of every view of these entities, in the order of the service, NaN where the key is unknown. Behind them come the
   * derived features. There is no transaction here: what they take of one, or of other entities, is missing.
   */
  features: Record<string, number>
  /** The entities whose key the store does not have. */
  unknown: string[]
  /** As in `OnlineFeatures`; empty where nothing may be missing. */
  incomplete: string[]
}

/** Finds the state that has an entity's key. */
export type StateOfKey = (entity: string, key: string) => Promise<GroupState>

/**
 * Reads the features of many rows of keys from the online store, as a transaction at `at` would find them, itself not
 * counted. By default `at` is the newest event time that the states of these keys have seen. A fraud label counts from
 * when the store had it, also where `at` is earlier.
 *
 * @returns one row for each that was asked for, in that order. A key that the store does not have is no error.
 * @throws UserError when the service has no such entity, or a key is blank.
 */
export async function onlineRows(
  service: FeatureService,
  asked: readonly AskedKeys[],
  stateOf: StateOfKey,
  at?: EpochMs,
): Promise<{ at: EpochMs; rows: OnlineRow[] }> {
  const views = service.views.filter((view) => view.kind === 'aggregate')
  const wanted = new Map<string, Set<string>>()
  for (const keys of asked) {
    for (const [entity, key] of Object.entries(keys)) {
      checkKey(service, views, entity, key)
      wanted.set(entity, (wanted.get(entity) ?? new Set()).add(key))
    }
  }
  const lots = await lotsOf(wanted, stateOf)
  const time = at ?? Math.max(...lots.map(({ state }) => newestOf(state)))
  const found = new Map<string, Found>()
  for (const lot of lots) {
    const own = views.filter(({ entity }) => entity === lot.entity)
    for (let from = 0; from < lot.keys.length; from += READ_AT_ONCE) {
      const keys = lot.keys.slice(from, from + READ_AT_ONCE)
      for (const view of own) await look(view, service, { ...lot, keys }, time, found)
    }
  }
  const derive = deriver(service)
  return {
    at: time,
    rows: asked.map((keys) => {
      const row = rowOf(views, keys, found)
      derive(row.features)
      return row
    }),
  }
}

/**
 * The same for one key of one entity, in one state.
 *
 * @throws UserError also when the store has no such key.
 */
export async function onlineFeatures(
  state: GroupState,
  service: FeatureService,
  entity: string,
  keyText: string,
  at?: EpochMs,
): Promise<OnlineFeatures> {
  const { at: time, rows } = await onlineRows(service, [{ [entity]: keyText }], async () => state, at)
  const { keys, features, unknown, incomplete } = rows[0]
  if (unknown.length > 0) throw unknownKeys(service, `${entity} ${keyText}`)
  return { entity, key: keys[entity], at: time, features, ...(incomplete.length > 0 ? { incomplete } : {}) }
}

/** The error where the store has none of the keys that were asked for. @param keys in words. */
export function unknownKeys(service: FeatureService, keys: string): UserError {
  return new UserError(
    `The online store has no ${keys} for service "${service.name}". ` +
      `Bring history in: fd features backfill --dataset NAME --service ${service.name} --online`,
  )
}

/** Keys of one state that are read in one call. */
const READ_AT_ONCE = 1000

/** How far an event may lie behind its key's newest one and still find all of its windows, as scorers have it. */
const LATENESS = HOUR

/** The keys of one entity whose states lie together. */
interface Lot {
  entity: string
  state: GroupState
  keys: string[]
}

/** What was found of one key: of its views that the store has. */
interface Found {
  key: number | string
  features: Map<string, number>
  incomplete: string[]
}

function checkKey(service: FeatureService, views: readonly AggregateView[], entity: string, key: string): void {
  if (!views.some((view) => view.entity === entity)) {
    const entities = new Set(views.map((view) => view.entity))
    throw new UserError(`Service "${service.name}" has no entity "${entity}". It has: ${[...entities].join(', ')}`)
  }
  if (isBlank(key))
    throw new UserError(`A transaction without a ${entity} has no features of one: they are missing. Give a key.`)
}

async function lotsOf(wanted: ReadonlyMap<string, ReadonlySet<string>>, stateOf: StateOfKey): Promise<Lot[]> {
  const lots: Lot[] = []
  for (const [entity, keys] of wanted) {
    const byState = new Map<GroupState, string[]>()
    for (const key of keys) {
      const state = await stateOf(entity, key)
      const together = byState.get(state)
      if (together === undefined) byState.set(state, [key])
      else together.push(key)
    }
    for (const [state, together] of byState) lots.push({ entity, state, keys: together })
  }
  return lots
}

function newestOf({ checkpoint, base }: GroupState): EpochMs {
  return checkpoint?.watermark ?? base.watermark
}

/** Reads one view of some keys, and puts its features at time `t` to what was found of each. */
async function look(
  view: AggregateView,
  service: FeatureService,
  { entity, state, keys }: Lot,
  t: EpochMs,
  found: Map<string, Found>,
): Promise<void> {
  const candidates = keys.map(candidatesOf)
  const stored = await state.read(view.name, candidates.flat())
  const fold = new ViewFold(view, settingsOf(view, service, state))
  let next = 0
  for (const [k, either] of candidates.entries()) {
    const states = stored.slice(next, next + either.length)
    next += either.length
    const which = states.findIndex((bytes) => bytes !== undefined)
    const bytes = states[which]
    if (bytes === undefined) continue
    const slot = fold.addKey(either[which])
    decodeState(fold, slot, bytes)
    const values = fold.peek(either[which], t)
    const name = nameOf(entity, keys[k])
    const of = found.get(name) ?? { key: either[which], features: new Map<string, number>(), incomplete: [] }
    found.set(name, of)
    view.features.forEach((feature, f) => of.features.set(feature.name, values?.[f] ?? Number.NaN))
    if (t < fold.payments.clock.at(slot) - LATENESS) of.incomplete.push(view.name)
  }
}

/** A whole number and its text are different keys, and the command line does not say which of the two is meant. */
function candidatesOf(key: string): (number | string)[] {
  return /^-?\d+$/.test(key) ? [Number(key), key] : [key]
}

/** Older states do not say by which schema they were written. */
function settingsOf(view: AggregateView, service: FeatureService, { checkpoint, base }: GroupState): FoldSettingsOf {
  const schema = checkpoint?.schema ?? base.schema
  if (schema !== undefined) return viewSettings(view, service, schema)
  return { scale: 10 ** (checkpoint?.minorUnits ?? base.minorUnits) }
}

type FoldSettingsOf = ReturnType<typeof viewSettings>

function rowOf(views: readonly AggregateView[], keys: AskedKeys, found: ReadonlyMap<string, Found>): OnlineRow {
  const row: OnlineRow = { keys: {}, features: {}, unknown: [], incomplete: [] }
  for (const [entity, key] of Object.entries(keys)) {
    const of = found.get(nameOf(entity, key))
    row.keys[entity] = of?.key ?? key
    if (of === undefined) row.unknown.push(entity)
    else row.incomplete.push(...of.incomplete)
  }
  for (const view of views) {
    const key = keys[view.entity]
    if (key === undefined) continue
    const of = found.get(nameOf(view.entity, key))
    for (const { name } of view.features) row.features[name] = of?.features.get(name) ?? Number.NaN
  }
  return row
}

/** Adds the derived features of a service to those of a row, by name. */
function deriver(service: FeatureService): (features: Record<string, number>) => void {
  const derived = new DerivedFeatures(service)
  const names = featureNames(service)
  const { columns } = derived
  return (features) => {
    const values = Float64Array.from(names, (name) => features[name] ?? Number.NaN)
    derived.write({ values, rows: 1 }, names.length)
    for (const column of columns) features[names[column]] = values[column]
  }
}

function nameOf(entity: string, key: string): string {
  return `${entity}\0${key}`
}
