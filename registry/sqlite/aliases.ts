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
        if (database.run('DELETE FROM aliases WHERE name = ? AND alias = ?', name, alias) === 1)
          touch(database, name, now())
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

function addTag(
  database: Database,
  change: { name: string; tag: { key: string; value: string }; move?: AliasMove; time: EpochMs },
): boolean {
  const { name, tag, move, time } = change
  checkRegistryTag(tag.key, tag.value)
  if (move !== undefined) checkAlias(move.alias)
  return database.write(() => {
    modelRow(database, name)
    if (move !== undefined) {
      if (holder(database, name, move.alias) !== move.expected) return false
      versionRow(database, name, move.version)
    }
    if (
      database.run(
        'INSERT INTO registered_model_tags VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
        name,
        tag.key,
        tag.value,
      ) === 0
    )
      return false
    if (move !== undefined) putAlias(database, name, move.alias, move.version)
    touch(database, name, time)
    return true
  }, 'decision')
}

/** The version at which an alias stands; undefined where there is no such alias or model. */
export function holder(database: Database, name: string, alias: string): number | undefined {
  const row = database.get('SELECT version FROM aliases WHERE name = ? AND alias = ?', name, alias)
  return row === undefined ? undefined : Number(row.version)
}

function putAlias(database: Database, name: string, alias: string, version: number): void {
  database.run(
    'INSERT INTO aliases VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version',
    name,
    alias,
    version,
  )
}
