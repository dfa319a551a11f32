import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import type { RegisteredModel } from '../model.ts'
import { HISTORY_TAG } from '../naming.ts'
import type { AliasMove, Registry } from '../registry.ts'

/**
 * The record of a registered model: who did what, when and why. Each entry is a JSON document in a tag of the model,
 * `fd.history.000001`, `fd.history.000002` … so it is the same on every driver and readable in MLflow's UI.
 *
 * Nothing here overwrites or deletes an entry. `sqlite:` refuses that from any SQL client. An MLflow server cannot.
 */
const who = { at: z.number(), by: z.string(), reason: z.string().optional() }
const check = z.object({ gate: z.string(), passed: z.boolean(), detail: z.string() })
const move = { alias: z.string(), version: z.number().int(), from: z.number().int().optional() }
const event = z.discriminatedUnion('event', [
  z.object({ event: z.literal('registered'), version: z.number().int(), ...who }),
  z.object({ event: z.literal('promoted'), ...move, forced: z.boolean(), checks: z.array(check), ...who }),
  z.object({ event: z.literal('rolled back'), ...move, ...who }),
  z.object({
    event: z.literal('threshold'),
    version: z.number().int(),
    threshold: z.number(),
    alertsPerDay: z.number().optional(),
    from: z.number(),
    ...who,
  }),
])

/**
 * One entry. `at` is in EpochMs. `from` is the version that held the alias before, absent when none did; of a
 * threshold, the one before. `forced` says that a gate had refused.
 */
export type HistoryEvent = z.infer<typeof event>

export interface History {
  /** Oldest first; `sequence` 1, 2, 3 … */
  entries: ({ sequence: number } & HistoryEvent)[]
  /** Aliases that do not point where the record says. Another tool moved them, or a move on a server was cut short. */
  unrecorded: UnrecordedMove[]
}

export interface UnrecordedMove {
  alias: string
  /** The version that the record names; undefined when no move of the alias is recorded. */
  recorded: number | undefined
  /** The version that the alias points at; undefined when it is not set. */
  actual: number | undefined
}

/** @throws UserError for an unknown model, or for an entry that another tool has made unreadable. */
export async function history(registry: Registry, name: string): Promise<History> {
  return historyOf(await registry.getRegisteredModel(name))
}

/**
 * The record in a model that was read already.
 *
 * @throws UserError for an entry that another tool has made unreadable.
 */
export function historyOf(model: RegisteredModel): History {
  const entries = Object.keys(model.tags)
    .filter((key) => key.startsWith(HISTORY_TAG))
    .map((key) => ({ sequence: Number(key.slice(HISTORY_TAG.length)), ...parseEvent(model, key) }))
    .sort((a, b) => a.sequence - b.sequence)
  const recorded = new Map(entries.flatMap((entry) => ('alias' in entry ? [[entry.alias, entry.version]] : [])))
  const aliases = new Set([...recorded.keys(), ...Object.keys(model.aliases)])
  const unrecorded = [...aliases].map((alias) => ({
    alias,
    recorded: recorded.get(alias),
    actual: holderOf(model, alias),
  }))
  return { entries, unrecorded: unrecorded.filter((alias) => alias.recorded !== alias.actual) }
}

/** The version that an alias points at; undefined when it is not set. */
export function holderOf(model: RegisteredModel, alias: string): number | undefined {
  return Object.hasOwn(model.aliases, alias) ? model.aliases[alias] : undefined
}

/**
 * Appends one event after the last entry that `model` holds, together with the move that it records.
 *
 * @param model as it was read when the move was decided.
 * @returns false, with nothing written, when another writer came first. Read the model again and decide again.
 */
export async function appendEvent(
  registry: Registry,
  model: RegisteredModel,
  event: HistoryEvent,
  move?: AliasMove,
): Promise<boolean> {
  const next = (historyOf(model).entries.at(-1)?.sequence ?? 0) + 1
  return registry.addRegisteredModelTag(
    model.name,
    { key: HISTORY_TAG + String(next).padStart(6, '0'), value: JSON.stringify(event) },
    move,
  )
}

/**
 * The versions that have held an alias, as a stack. A promotion pushes; a rollback pops down to the version it went
 * back to. Repeated rollbacks therefore go further back, and a promotion after a rollback continues from there. A
 * holder that another tool set is pushed when the next recorded move finds it.
 */
export function holders({ entries }: History, alias: string): number[] {
  const stack: number[] = []
  for (const entry of entries) {
    if (!('alias' in entry) || entry.alias !== alias) continue
    if (entry.from !== undefined && entry.from !== stack.at(-1)) stack.push(entry.from)
    if (entry.event === 'rolled back') stack.length = stack.lastIndexOf(entry.version) + 1
    if (stack.at(-1) !== entry.version) stack.push(entry.version)
  }
  return stack
}

function parseEvent(model: RegisteredModel, key: string): HistoryEvent {
  try {
    return event.parse(JSON.parse(model.tags[key]))
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw error
    const start = JSON.stringify(model.tags[key].slice(0, 80))
    throw new UserError(
      `Tag "${key}" of "${model.name}" is not an entry of its history: ${start}. ` +
        'Another tool wrote it; put back what a backup has.',
      { cause: error },
    )
  }
}
