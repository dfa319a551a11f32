import { UserError } from '../configs/user-error.ts'
import type { EpochMs } from '../datasets/transaction.ts'
import type { ModelVersion, RegisteredModel } from './model.ts'
import { checkAlias, checkLength, checkModelName, checkNotHistory, checkRegistryTagKey, MAX_REGISTRY_TAG_VALUE } from './naming.ts'
import { noSuchAlias, noSuchModel, noSuchRun, noSuchVersion } from './not-found.ts'
import type { NewModelVersion, Registry } from './registry.ts'
import type { Database, Row } from './sqlite-database.ts'
import { pairs } from './sqlite-runs.ts'

type ModelVerbs = Pick<
  Registry,
  | 'createRegisteredModel'
  | 'getRegisteredModel'
  | 'searchRegisteredModels'
  | 'setRegisteredModelTag'
  | 'deleteRegisteredModelTag'
  | 'addRegisteredModelTag'
  | 'setRegisteredModelAlias'
  | 'deleteRegisteredModelAlias'
  | 'aliasVersion'
>
type VersionVerbs = Pick<
  Registry,
  'createModelVersion' | 'getModelVersion' | 'getModelVersionByAlias' | 'setModelVersionTag' | 'searchModelVersions' | 'deleteModelVersion'
>

export function modelVerbs(database: Database, now: () => EpochMs): ModelVerbs {
  return {
    async createRegisteredModel(name, { tags = {}, description = '', mayExist = false } = {}) {
      checkModelName(name)
      for (const [key, value] of Object.entries(tags)) checkTag(key, value)
      return database.write(() => {
        const time = now()
        const added = database.run('INSERT INTO registered_models VALUES (?, ?, ?, ?, 1) ON CONFLICT DO NOTHING', name, description, time, time)
        if (added === 0 && !mayExist) throw new UserError(`Registered model "${name}" exists already. See it with: fd models describe ${name}`)
        if (added === 1) for (const [key, value] of Object.entries(tags)) putModelTag(database, name, key, value)
        return modelOf(database, modelRow(database, name))
      }, 'decision')
    },

    async getRegisteredModel(name) {
      return database.read(() => modelOf(database, modelRow(database, name)))
    },

    async searchRegisteredModels() {
      return database.read(() => database.all('SELECT * FROM registered_models ORDER BY name').map((row) => modelOf(database, row)))
    },

    async setRegisteredModelTag(name, key, value) {
      checkTag(key, value)
      database.write(() => {
        modelRow(database, name)
        putModelTag(database, name, key, value)
        touch(database, name, now())
      })
    },

    async deleteRegisteredModelTag(name, key) {
      checkNotHistory(key)
      database.write(() => {
        modelRow(database, name)
        if (database.run('DELETE FROM registered_model_tags WHERE name = ? AND key = ?', name, key) === 1) touch(database, name, now())
      })
    },

    async addRegisteredModelTag(name, { key, value }, move) {
      checkRegistryTagKey(key)
      checkLength(`Tag "${key}"`, value, MAX_REGISTRY_TAG_VALUE)
      if (move !== undefined) checkAlias(move.alias)
      return database.write(() => {
        modelRow(database, name)
        if (move !== undefined) {
          if (holder(database, name, move.alias) !== move.expected) return false
          versionRow(database, name, move.version)
        }
        if (database.run('INSERT INTO registered_model_tags VALUES (?, ?, ?) ON CONFLICT DO NOTHING', name, key, value) === 0) return false
        if (move !== undefined) putAlias(database, name, move.alias, move.version)
        touch(database, name, now())
        return true
      }, 'decision')
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
        if (database.run('DELETE FROM aliases WHERE name = ? AND alias = ?', name, alias) === 1) touch(database, name, now())
      }, 'decision')
    },

    async aliasVersion(name, alias) {
      return holder(database, name, alias)
    },
  }
}

export function versionVerbs(database: Database, now: () => EpochMs): VersionVerbs {
  return {
    async createModelVersion(given) {
      const { runId, folder } = parseSource(given)
      const { name, source, description = '', tags = {} } = given
      for (const [key, value] of Object.entries(tags)) checkVersionTag(key, value)
      return database.write(() => {
        modelRow(database, name)
        checkSource(database, source, runId, folder)
        const time = now()
        const row = database.get('UPDATE registered_models SET next_version = next_version + 1, last_updated_time = ? WHERE name = ? RETURNING next_version', time, name)
        const version = Number(row?.next_version) - 1
        database.run('INSERT INTO model_versions VALUES (?, ?, ?, ?, ?, ?, ?)', name, version, description, time, time, source, runId)
        for (const [key, value] of Object.entries(tags)) putVersionTag(database, name, version, key, value)
        return versionOf(database, versionRow(database, name, version))
      }, 'decision')
    },

    async getModelVersion(name, version) {
      return database.read(() => versionOf(database, versionRow(database, name, version)))
    },

    async getModelVersionByAlias(name, alias) {
      return database.read(() => {
        const version = holder(database, name, alias)
        if (version === undefined) throw noSuchAlias(modelOf(database, modelRow(database, name)), alias)
        return versionOf(database, versionRow(database, name, version))
      })
    },

    async setModelVersionTag(name, version, key, value) {
      checkVersionTag(key, value)
      database.write(() => {
        versionRow(database, name, version)
        putVersionTag(database, name, version, key, value)
        database.run('UPDATE model_versions SET last_updated_time = ? WHERE name = ? AND version = ?', now(), name, version)
      })
    },

    async searchModelVersions({ name, runId } = {}) {
      const sql = 'SELECT * FROM model_versions WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR run_id = ?2) ORDER BY name, version DESC'
      return database.read(() => database.all(sql, name ?? null, runId ?? null).map((row) => versionOf(database, row)))
    },

    async deleteModelVersion(name, version) {
      database.write(() => {
        const { aliases } = versionOf(database, versionRow(database, name, version))
        if (aliases.length > 0) {
          throw new UserError(`Version ${version} of "${name}" is its ${aliases.join(' and ')} and cannot be deleted. Promote another one first: fd models promote ${name} VERSION --alias ${aliases[0]}`)
        }
        database.run('DELETE FROM model_versions WHERE name = ? AND version = ?', name, version)
        touch(database, name, now())
      }, 'decision')
    },
  }
}

function parseSource({ source, runId }: NewModelVersion): { runId: string; folder: string } {
  const [, id, folder] = /^runs:\/([^/]+)\/(.+)$/.exec(source) ?? []
  if (id === undefined) throw new UserError(`Model source "${source}" must be runs:/RUN_ID/FOLDER, the folder of the model's files in a run of this registry.`)
  if (runId !== undefined && runId !== id) throw new UserError(`Model source "${source}" is not of run ${runId}. Give the run that logged the model.`)
  return { runId: id, folder }
}

function checkSource(database: Database, source: string, runId: string, folder: string): void {
  if (database.get('SELECT 1 FROM runs WHERE run_id = ?', runId) === undefined) throw noSuchRun(runId)
  const [from, to] = [`${folder}/`, `${folder}0`] // "0" follows "/": every path below the folder lies between.
  if (database.get('SELECT 1 FROM artifacts WHERE run_id = ? AND path > ? AND path < ? LIMIT 1', runId, from, to) === undefined) {
    throw new UserError(`Model source "${source}" has no files. Log the model first, as fd train does.`)
  }
}

function holder(database: Database, name: string, alias: string): number | undefined {
  const row = database.get('SELECT version FROM aliases WHERE name = ? AND alias = ?', name, alias)
  return row === undefined ? undefined : Number(row.version)
}

function modelRow(database: Database, name: string): Row {
  const row = database.get('SELECT * FROM registered_models WHERE name = ?', name)
  if (row !== undefined) return row
  throw noSuchModel(name, database.all('SELECT name FROM registered_models ORDER BY name').map((other) => String(other.name)))
}

function modelOf(database: Database, row: Row): RegisteredModel {
  const aliases = database.all('SELECT alias, version FROM aliases WHERE name = ? ORDER BY alias', row.name)
  const latest = database.get('SELECT max(version) AS version FROM model_versions WHERE name = ?', row.name)?.version ?? undefined
  return {
    name: String(row.name),
    description: String(row.description),
    creationTime: Number(row.creation_time),
    lastUpdatedTime: Number(row.last_updated_time),
    tags: pairs(database.all('SELECT key, value FROM registered_model_tags WHERE name = ?', row.name)),
    aliases: Object.fromEntries(aliases.map((entry) => [String(entry.alias), Number(entry.version)])),
    latestVersion: latest === undefined ? undefined : Number(latest),
  }
}

function versionRow(database: Database, name: string, version: number): Row {
  const row = database.get('SELECT * FROM model_versions WHERE name = ? AND version = ?', name, version)
  if (row !== undefined) return row
  modelRow(database, name)
  const existing = database.all('SELECT version FROM model_versions WHERE name = ? ORDER BY version', name)
  throw noSuchVersion(name, version, existing.map((other) => Number(other.version)))
}

function versionOf(database: Database, row: Row): ModelVersion {
  const aliases = database.all('SELECT alias FROM aliases WHERE name = ? AND version = ? ORDER BY alias', row.name, row.version)
  return {
    name: String(row.name),
    version: Number(row.version),
    description: String(row.description),
    creationTime: Number(row.creation_time),
    lastUpdatedTime: Number(row.last_updated_time),
    source: String(row.source),
    ...(row.run_id === null ? {} : { runId: String(row.run_id) }),
    tags: pairs(database.all('SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?', row.name, row.version)),
    aliases: aliases.map((entry) => String(entry.alias)),
    status: 'READY',
  }
}

function putModelTag(database: Database, name: string, key: string, value: string): void {
  database.run('INSERT INTO registered_model_tags VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', name, key, value)
}

function putVersionTag(database: Database, name: string, version: number, key: string, value: string): void {
  database.run('INSERT INTO model_version_tags VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', name, version, key, value)
}

function putAlias(database: Database, name: string, alias: string, version: number): void {
  database.run('INSERT INTO aliases VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version', name, alias, version)
}

function touch(database: Database, name: string, time: EpochMs): void {
  database.run('UPDATE registered_models SET last_updated_time = ? WHERE name = ?', time, name)
}

function checkVersionTag(key: string, value: string): void {
  checkRegistryTagKey(key)
  checkLength(`Tag "${key}"`, value, MAX_REGISTRY_TAG_VALUE)
}

function checkTag(key: string, value: string): void {
  checkNotHistory(key)
  checkVersionTag(key, value)
}
