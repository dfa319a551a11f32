import type { Bytes } from '../../../configs/connections/lmdb.ts'
import { refuseNewer } from '../../../configs/format.ts'
import { UserError } from '../../../configs/user-error.ts'
import type { TopicSettings } from '../event-log.ts'
import { checkLogName, isLogName } from '../log-name.ts'
import type { Volume } from './volume.ts'

/**
 * Where a topic's blocks are. The topic's first writer decides.
 *
 * - `own`: a volume of the topic's own, because it was appended to. Its producer waits for no scorer's disk.
 * - `shared`: the volume of the groups, because a commit wrote it. So outputs and offsets are one LMDB transaction.
 */
export type Home = 'own' | 'shared'

/** A topic as the catalog knows it. A topic without a home has no record yet. */
export type CatalogEntry = TopicSettings & { name: string; home?: Home }
export type PlacedEntry = CatalogEntry & { home: Home }

/** The topics of a log, stored in the shared volume. */
export interface Catalog {
  find(name: string): CatalogEntry | undefined
  /** All topics, by name. */
  list(): CatalogEntry[]
  /** The topic of this name. Makes a missing topic with `settings`. */
  ensure(name: string, settings?: Partial<TopicSettings>): CatalogEntry
  /** The topic with its home. Makes a missing topic; gives a topic without a home the home `home`. */
  place(name: string, home: Home): PlacedEntry
}

/**
 * Version of the log's format as a whole: how topics, groups and their blocks are stored. Each entry carries it,
 * because every use of a topic reads its entry first.
 */
const FORM = 1

/** The catalog in the shared volume. */
export function openCatalog(shared: Volume): Catalog {
  const topics = shared.database('topics')
  const read = (name: string): CatalogEntry | undefined => readEntry(topics, name, shared.environment.file)
  // LMDB accepts neither empty nor long keys.
  const find = (name: string): CatalogEntry | undefined =>
    isLogName(name) ? shared.environment.read(() => read(name)) : undefined
  const change = (name: string, settings: Partial<TopicSettings>, home: Home | undefined): CatalogEntry => {
    const fresh = newEntry(name, settings)
    return shared.write(() => {
      const entry = read(name) ?? fresh
      const placed = { ...entry, home: entry.home ?? home }
      writeEntry(topics, placed)
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

/** @throws UserError when a newer fd wrote the entry. */
function readEntry(topics: Bytes, name: string, file: string): CatalogEntry | undefined {
  const bytes = topics.get(Buffer.from(name))
  if (bytes === undefined) return undefined
  const { form, ...entry } = JSON.parse(bytes.toString()) as TopicSettings & { home?: Home; form?: number }
  refuseNewer(form, FORM, `Topic "${name}" in ${file}`, 'Or begin another log with this one: FD_HOME=FOLDER')
  return { name, ...entry }
}

function writeEntry(topics: Bytes, { name, ...rest }: CatalogEntry): void {
  void topics.put(Buffer.from(name), Buffer.from(JSON.stringify({ ...rest, form: FORM })))
}

function checked(name: string): string {
  checkLogName(name)
  return name
}

function newEntry(name: string, { partitions = 1, retention }: Partial<TopicSettings>): CatalogEntry {
  if (!Number.isInteger(partitions) || partitions < 1) {
    throw new UserError(`Topic "${name}" cannot have ${partitions} partitions: give a whole number from 1.`)
  }
  return { name, partitions, retention }
}
