import { refuseNewer } from '../../../configs/format.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { TopicSettings } from '../event-log.ts'
import { checkLogName, isLogName } from '../log-name.ts'
import type { Volume } from './volume.ts'

/**
 * Where a topic's blocks are, decided by its first writer. `own`: a volume of the topic's own, because it was appended
 * to; its producer waits for no scorer's disk. `shared`: the volume of the groups, because a commit wrote it, so that
 * outputs and offsets are one LMDB transaction.
 */
export type Home = 'own' | 'shared'

/** A topic as the catalog knows it; without a home it has no record yet. */
export type CatalogEntry = TopicSettings & { name: string; home?: Home }
export type PlacedEntry = CatalogEntry & { home: Home }

/** The topics of a log, in the shared volume. */
export interface Catalog {
  find(name: string): CatalogEntry | undefined
  /** All topics, by name. */
  list(): CatalogEntry[]
  /** The topic of this name, made with `settings` when missing. */
  ensure(name: string, settings?: Partial<TopicSettings>): CatalogEntry
  /** The topic, made when missing, with its home; `home` when this is its first writer. */
  place(name: string, home: Home): PlacedEntry
}

/** Of the log as a whole: how topics, groups and their blocks lie. Every use of a topic reads its entry first. */
const FORM = 1

/** The catalog in the shared volume. */
export function openCatalog(shared: Volume): Catalog {
  const topics = shared.database('topics')
  const read = (name: string): CatalogEntry | undefined => {
    const bytes = topics.get(Buffer.from(name))
    if (bytes === undefined) return undefined
    const { form, ...entry } = JSON.parse(bytes.toString()) as TopicSettings & { home?: Home; form?: number }
    refuseNewer(
      form,
      FORM,
      `Topic "${name}" in ${shared.environment.file}`,
      'Or begin another log with this one: FD_HOME=FOLDER',
    )
    return { name, ...entry }
  }
  const write = ({ name, ...rest }: CatalogEntry): void =>
    void topics.put(Buffer.from(name), Buffer.from(JSON.stringify({ ...rest, form: FORM })))
  // LMDB takes no empty and no long key.
  const find = (name: string): CatalogEntry | undefined =>
    isLogName(name) ? shared.environment.read(() => read(name)) : undefined
  const change = (name: string, settings: Partial<TopicSettings>, home: Home | undefined): CatalogEntry => {
    const fresh = newEntry(name, settings)
    return shared.write(() => {
      const entry = read(name) ?? fresh
      const placed = { ...entry, home: entry.home ?? home }
      write(placed)
      return placed
    })
  }
  return {
    find,
    list: () =>
      shared.environment.read(() =>
        Array.from(topics.getKeys(), (key) => read(key.toString())).filter((entry) => entry !== undefined),
      ),
    ensure: (name, settings = {}) => find(checked(name)) ?? change(name, settings, undefined),
    place(name, home) {
      const entry = find(checked(name))
      const placed = entry?.home === undefined ? change(name, {}, home) : entry
      return { ...placed, home: placed.home ?? home }
    },
  }
}

function checked(name: string): string {
  checkLogName(name)
  return name
}

function newEntry(name: string, { partitions = 1, retention }: Partial<TopicSettings>): CatalogEntry {
  if (!Number.isInteger(partitions) || partitions < 1)
    throw new UserError(`Topic "${name}" cannot have ${partitions} partitions: give a whole number from 1.`)
  return { name, partitions, retention }
}
