import type { EpochMs } from '../../datasets/table/transaction.ts'
import { checkAlias, checkRegistryTag } from '../naming.ts'
import { noSuchAlias } from '../not-found.ts'
import type { AliasMove, Registry } from '../registry.ts'
import type { Database } from './database.ts'
import { modelOf, modelRow, touch } from './models.ts'
import { versionOf, versionRow } from './versions.ts'

type AliasVerbs = Pick<
  Registry,
  | 'addRegisteredModelTag'
  | 'setRegisteredModelAlias'
  | 'deleteRegisteredModelAlias'
  | 'getModelVersionByAlias'
  | 'aliasVersion'
>

export function aliasVerbs(database: Database, now: () => EpochMs): AliasVerbs {
  return {
    async addRegisteredModelTag(name, tag, move) {
      return addTag(database, { name, tag, move, time: now() })
    },

    async setRegisteredModelAlias(name, alias, version) {
      checkAlias(alias)
      database.write(() => {
        versionRow(database, name, version)
        putAlias(database, name, alias, version)
        touch(database, name, now())
      }, 'decision')
    },

    async deleteRegisteredModelAlias(name, alias) {
      database.write(() => {
        modelRow(database, name)
        const deleted = database.run('DELETE FROM aliases WHERE name = ? AND alias = ?', name, alias)
        if (deleted === 1) touch(database, name, now())
      }, 'decision')
    },

    async getModelVersionByAlias(name, alias) {
      return database.read(() => {
        const version = holder(database, name, alias)
        if (version === undefined) throw noSuchAlias(modelOf(database, modelRow(database, name)), alias)
        return versionOf(database, versionRow(database, name, version))
      })
    },

    async aliasVersion(name, alias) {
      return holder(database, name, alias)
    },
  }
}

/** A tag that must be new on the model `name`, and the move that it records. */
interface NewTag {
  name: string
  tag: { key: string; value: string }
  move?: AliasMove
  time: EpochMs
}

/** @returns false, with nothing written, when the tag exists or the alias points elsewhere. */
function addTag(database: Database, { name, tag, move, time }: NewTag): boolean {
  checkRegistryTag(tag.key, tag.value)
  if (move !== undefined) checkAlias(move.alias)
  return database.write(() => {
    modelRow(database, name)
    if (move !== undefined) {
      if (holder(database, name, move.alias) !== move.expected) return false
      versionRow(database, name, move.version)
    }
    const taken = 'SELECT 1 FROM registered_model_tags WHERE name = ? AND key = ?'
    if (database.get(taken, name, tag.key) !== undefined) return false
    database.run('INSERT INTO registered_model_tags VALUES (?, ?, ?)', name, tag.key, tag.value)
    if (move !== undefined) putAlias(database, name, move.alias, move.version)
    touch(database, name, time)
    return true
  }, 'decision')
}

/** The version that an alias points at; undefined when there is no such alias or model. */
function holder(database: Database, name: string, alias: string): number | undefined {
  const row = database.get('SELECT version FROM aliases WHERE name = ? AND alias = ?', name, alias)
  return row === undefined ? undefined : Number(row.version)
}

function putAlias(database: Database, name: string, alias: string, version: number): void {
  const upsert = 'INSERT INTO aliases VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version'
  database.run(upsert, name, alias, version)
}
