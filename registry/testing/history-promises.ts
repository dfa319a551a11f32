import { history, isMove, type HistoryEntry, type MoveEvent } from '../promotion/history.ts'
import type { Registry } from '../registry.ts'

/** What a writer is asked to do. Its id is the reason that the history keeps. */
export interface Request {
  id: string
  kind: 'promote' | 'roll back' | 'threshold' | 'register'
  alias: string
  version: number
  force: boolean
  threshold: number
}

/** What became of a request. */
export interface Done {
  request: Request
  /** Beginnings and ends of all requests are counted in one order. */
  began: number
  ended: number
  /** `unknown`: a fault was told. */
  outcome: 'told' | 'unknown' | 'killed'
  /** What the writer was told that it wrote; undefined when it was told that nothing was. */
  told?: { version: number; from?: number | undefined; forced?: boolean } | undefined
}

const KINDS = { promote: 'promoted', 'roll back': 'rolled back', threshold: 'threshold', register: 'registered' }

/**
 * Holds a history against what its writers were asked and told: a chain without a gap, in which each request stands
 * once if its writer was told so, not at all if it was told the opposite, and at most once otherwise. It is in the
 * order in which they were told. Each move continues from the one before it, was judged against that, and the aliases
 * are where the last moves say.
 */
export async function expectHistoryTrue(registry: Registry, name: string, all: readonly Done[]): Promise<void> {
  const { entries, broken, unrecorded } = await history(registry, name)
  if (broken !== undefined) throw new Error(`Entry ${broken.sequence} ${broken.why}`)
  if (unrecorded.length > 0) throw new Error(`Aliases are elsewhere: ${JSON.stringify(unrecorded)}`)
  const place = new Map(entries.map(({ reason = '', sequence }) => [reason, sequence]))
  same(place.size, entries.length, 'requests in the history')
  const asked = new Map(all.map((done) => [done.request.id, done]))
  for (const entry of entries) expectAsked(entry, asked.get(entry.reason ?? ''))
  for (const { request, outcome, told } of all)
    if (outcome === 'told') same(place.has(request.id), told !== undefined, `${request.id} in the history`)
  expectOrder(all, place)
  expectMoves(entries)
}

function expectAsked(entry: HistoryEntry, done: Done | undefined): void {
  if (done === undefined) throw new Error(`Nobody asked for entry ${entry.sequence}`)
  const { request, told } = done
  same(entry.event, KINDS[request.kind], `event of ${request.id}`)
  if (isMove(entry)) same(entry.alias, request.alias, `alias of ${request.id}`)
  if (request.kind === 'promote' || request.kind === 'threshold') same(entry.version, request.version, request.id)
  if (entry.event === 'threshold') same(entry.threshold, request.threshold, `threshold of ${request.id}`)
  if (told === undefined) return
  const { version } = entry
  const from = 'from' in entry ? entry.from : undefined
  const forced = entry.event === 'promoted' ? entry.forced : undefined
  same({ version, from, forced }, { version: told.version, from: told.from, forced: told.forced }, request.id)
}

/** Who began after another was told that it had written stands behind it. */
function expectOrder(all: readonly Done[], place: ReadonlyMap<string, number>): void {
  for (const one of all)
    for (const other of all) {
      const [before, after] = [place.get(one.request.id), place.get(other.request.id)]
      if (before === undefined || after === undefined || one.ended > other.began || before < after) continue
      throw new Error(`${other.request.id} began after ${one.request.id} had ended, and stands before it`)
    }
}

/** Plays the moves again, with a stack of holders for each alias, and the thresholds of each version. */
function expectMoves(entries: readonly HistoryEntry[]): void {
  const stacks = new Map<string, number[]>()
  const thresholds = new Map<number, number>()
  for (const entry of entries) {
    const what = `from of entry ${entry.sequence}`
    if (entry.event === 'threshold') {
      same(entry.from, thresholds.get(entry.version) ?? 0.5, what)
      thresholds.set(entry.version, entry.threshold)
    }
    if (!isMove(entry)) continue
    const stack = stacks.get(entry.alias) ?? []
    stacks.set(entry.alias, stack)
    same(entry.from, stack.at(-1), what)
    play(entry, stack)
  }
}

function play(entry: MoveEvent, stack: number[]): void {
  if (entry.event === 'promoted') {
    const { checks, forced } = entry
    same(
      checks.map(({ detail, passed }) => [detail, passed]),
      [[`against ${entry.from ?? 0}`, !forced]],
      `checks of version ${entry.version}`,
    )
    stack.push(entry.version)
    return
  }
  // The version that held the alias before, and is another one.
  const holder = stack.at(-1)
  while (stack.at(-1) === holder && stack.length > 0) stack.pop()
  same(entry.version, stack.at(-1), 'version rolled back to')
}

function same(found: unknown, wanted: unknown, what: string): void {
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`)
}
