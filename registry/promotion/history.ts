import { createHash } from 'node:crypto'
import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import type { RegisteredModel } from '../model.ts'
import { HISTORY_TAG } from '../naming.ts'
import type { AliasMove, Registry } from '../registry.ts'

/**
 * The record of a registered model: who did what, when and why. Each entry is a JSON document in a tag of the model,
 * `fd.history.000001`, `fd.history.000002` … so it is the same on every driver and readable in MLflow's UI.
 *
 * Nothing here overwrites or deletes an entry. `sqlite:` refuses that from any SQL client. An MLflow server cannot, so
 * the entries form a chain. The hash of an entry is the sha256 of the hash before it, a line feed and its own text.
 * Before the first one stand 64 zeros. Each entry carries in `previous` the hash before it. Who changes, swaps, inserts
 * or removes an entry breaks the chain at the next one, and `historyOf` says where.
 *
 * A chain cannot tell that its newest entries were cut off, or that somebody wrote all of it anew. Who fears that keeps
 * `head` elsewhere. Entries of an `fd` before the chain carry no `previous`; the first that does seals them.
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

/** What binds an entry to the one before it. */
const link = z.object({ previous: z.string().optional() })

/** The end of an entry's key. */
const position = z.string().regex(/^\d+$/).transform(Number)

const MAX_REASON = 1_000
const MAX_DETAIL = 500

/** The hash before the first entry. */
const NOTHING = '0'.repeat(64)

/**
 * One event. `at` is in EpochMs. `from` is the version that held the alias before, absent when none did; of a
 * threshold, the one before. `forced` says that a gate had refused.
 */
export type HistoryEvent = z.infer<typeof event>

/** An event that moved an alias. */
export type MoveEvent = Extract<HistoryEvent, { alias: string }>

/** An event in the record. `sequence` counts 1, 2, 3 …; `hash` is that of the chain up to this entry. */
export type HistoryEntry = { sequence: number; hash: string } & HistoryEvent

export interface History {
  /** Oldest first. */
  entries: HistoryEntry[]
  /** The hash of the newest entry, 64 hex digits; zeros when there is none. */
  head: string
  /** The first place at which the chain does not hold; undefined when it holds. */
  broken: BrokenChain | undefined
  /** Aliases that do not point where the record says. Another tool moved them, or a move on a server was cut short. */
  unrecorded: UnrecordedMove[]
}

export interface BrokenChain {
  sequence: number
  /** What is wrong with that entry, as the end of a sentence. */
  why: string
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
  const chain = chainOf(model)
  const recorded = new Map(chain.entries.filter(isMove).map((entry) => [entry.alias, entry.version]))
  const aliases = new Set([...recorded.keys(), ...Object.keys(model.aliases)])
  const unrecorded = [...aliases].map((alias) => ({
    alias,
    recorded: recorded.get(alias),
    actual: holderOf(model, alias),
  }))
  return { ...chain, unrecorded: unrecorded.filter((alias) => alias.recorded !== alias.actual) }
}

/** Whether an event moved an alias. */
export function isMove<E extends HistoryEvent>(event: E): event is E & MoveEvent {
  return 'alias' in event
}

/** The entries of a model in order, and whether each continues the one before it. */
function chainOf(model: RegisteredModel): Pick<History, 'entries' | 'head' | 'broken'> {
  const entries: HistoryEntry[] = []
  let head = NOTHING
  let broken: BrokenChain | undefined
  let sealed = false
  for (const { sequence, text, previous, event } of storedEntries(model)) {
    const next = entries.length === 0 ? 1 : entries[entries.length - 1].sequence + 1
    if (sequence !== next) broken ??= { sequence: next, why: 'is missing' }
    const continues = previous === undefined ? !sealed : previous === head
    if (!continues) broken ??= { sequence, why: 'does not continue what is before it: one of the two was changed' }
    sealed ||= previous !== undefined
    head = createHash('sha256').update(`${head}\n${text}`).digest('hex')
    entries.push({ sequence, hash: head, ...event })
  }
  return { entries, head, broken }
}

interface StoredEntry {
  sequence: number
  /** As it stands in the tag. */
  text: string
  previous: string | undefined
  event: HistoryEvent
}

/** @returns by sequence, lowest first. */
function storedEntries(model: RegisteredModel): StoredEntry[] {
  return Object.keys(model.tags)
    .filter((key) => key.startsWith(HISTORY_TAG))
    .map((key) => storedEntry(model, key))
    .sort((a, b) => a.sequence - b.sequence)
}

/**
 * An entry must fit a param of an MLflow server, which keeps 6,000 characters.
 *
 * @throws UserError for a reason of more than 1,000 characters.
 */
export function checkReason(reason: string | undefined): void {
  if (reason !== undefined && reason.length > MAX_REASON) {
    throw new UserError(
      `The reason has ${reason.length} characters, the history keeps ${MAX_REASON}. Say it shorter, with a link.`,
    )
  }
}

/** The event with the details of its checks cut to what the history keeps of each. */
function fitting(event: HistoryEvent): HistoryEvent {
  if (event.event !== 'promoted') return event
  const cut = (detail: string): string => (detail.length > MAX_DETAIL ? `${detail.slice(0, MAX_DETAIL)}…` : detail)
  return { ...event, checks: event.checks.map((found) => ({ ...found, detail: cut(found.detail) })) }
}

/** The version that an alias points at; undefined when it is not set. */
export function holderOf(model: RegisteredModel, alias: string): number | undefined {
  return Object.hasOwn(model.aliases, alias) ? model.aliases[alias] : undefined
}

/**
 * Appends one event after the last entry that `model` holds, together with the move that it records. A broken chain is
 * continued: to refuse would leave nobody able to roll back, and the break stays to be seen.
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
  const { entries, head } = chainOf(model)
  const next = (entries.at(-1)?.sequence ?? 0) + 1
  return registry.addRegisteredModelTag(
    model.name,
    { key: HISTORY_TAG + String(next).padStart(6, '0'), value: JSON.stringify({ ...fitting(event), previous: head }) },
    move,
  )
}

/**
 * The versions that have held an alias, as a stack. A promotion pushes; a rollback pops down to the version it went
 * back to. Repeated rollbacks therefore go further back, and a promotion after a rollback continues from there. A
 * holder that another tool set is pushed when the next recorded move finds it.
 */
export function holders({ entries }: Pick<History, 'entries'>, alias: string): number[] {
  const stack: number[] = []
  for (const entry of entries) {
    if (!isMove(entry) || entry.alias !== alias) continue
    if (entry.from !== undefined && entry.from !== stack.at(-1)) stack.push(entry.from)
    if (entry.event === 'rolled back') stack.length = stack.lastIndexOf(entry.version) + 1
    if (stack.at(-1) !== entry.version) stack.push(entry.version)
  }
  return stack
}

/** @throws UserError when the tag is no entry. */
function storedEntry(model: RegisteredModel, key: string): StoredEntry {
  const text = model.tags[key]
  try {
    const sequence = position.parse(key.slice(HISTORY_TAG.length))
    const document: unknown = JSON.parse(text)
    return { sequence, text, previous: link.parse(document).previous, event: event.parse(document) }
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw error
    throw new UserError(
      `Tag "${key}" of "${model.name}" is not an entry of its history: ${JSON.stringify(text.slice(0, 80))}. ` +
        'Another tool wrote it; put back what a backup has.',
      { cause: error },
    )
  }
}
