import type { EpochMs } from '../../datasets/table/transaction.ts'
import { sourceEmpty, versionAliased } from '../conflict.ts'
import type { ModelVersion } from '../model.ts'
import { checkRegistryTag, parseModelSource } from '../naming.ts'
import { noSuchRun, noSuchVersion } from '../not-found.ts'
import type { NewModelVersion, Registry } from '../registry.ts'
import { pairs, type Database, type Row } from './database.ts'
import { modelRow, touch } from './models.ts'

type VersionVerbs = Pick<
  Registry,
  'createModelVersion' | 'getModelVersion' | 'setModelVersionTag' | 'searchModelVersions' | 'deleteModelVersion'
>

/** A condition that is NULL holds for every version. */
const SEARCH = `
  SELECT * FROM model_versions WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR run_id = ?2)
  ORDER BY name, version DESC`

/** Takes the next number of a model. */
const TAKE_NUMBER = `
  UPDATE registered_models SET next_version = next_version + 1, last_updated_time = ? WHERE name = ?
  RETURNING next_version`

export function versionVerbs(database: Database, now: () => EpochMs): VersionVerbs {
  return {
    async createModelVersion(version) {
      return insertVersion(database, version, now())
    },

    async getModelVersion(name, version) {
      return database.read(() => versionOf(database, versionRow(database, name, version)))
    },

    async setModelVersionTag(name, version, key, value) {
      checkRegistryTag(key, value)
      database.write(() => {
        versionRow(database, name, version)
        putVersionTag(database, name, version, key, value)
        const stamp = 'UPDATE model_versions SET last_updated_time = ? WHERE name = ? AND version = ?'
        database.run(stamp, now(), name, version)
      })
    },

    async searchModelVersions({ name, runId } = {}) {
      return database.read(() =>
        database.all(SEARCH, name ?? null, runId ?? null).map((row) => versionOf(database, row)),
      )
    },

    async deleteModelVersion(name, version) {
      database.write(() => {
        const { aliases } = versionOf(database, versionRow(database, name, version))
        if (aliases.length > 0) throw versionAliased(name, version, aliases)
        database.run('DELETE FROM model_versions WHERE name = ? AND version = ?', name, version)
        touch(database, name, now())
      }, 'decision')
    },
  }
}

function insertVersion(database: Database, given: NewModelVersion, time: EpochMs): ModelVersion {
  const { runId, folder } = parseModelSource(given)
  const { name, source, description = '', tags = {} } = given
  for (const [key, value] of Object.entries(tags)) checkRegistryTag(key, value)
  return database.write(() => {
    modelRow(database, name)
    checkSource(database, source, runId, folder)
    const version = Number(database.get(TAKE_NUMBER, time, name)?.next_version) - 1
    const insert = 'INSERT INTO model_versions VALUES (?, ?, ?, ?, ?, ?, ?)'
    database.run(insert, name, version, description, time, time, source, runId)
    for (const [key, value] of Object.entries(tags)) putVersionTag(database, name, version, key, value)
    return versionOf(database, versionRow(database, name, version))
  }, 'decision')
}

function checkSource(database: Database, source: string, runId: string, folder: string): void {
  if (database.get('SELECT 1 FROM runs WHERE run_id = ?', runId) === undefined) throw noSuchRun(runId)
  // "0" follows "/", so every path below the folder lies between the two.
  const [from, to] = [`${folder}/`, `${folder}0`]
  const sql = 'SELECT 1 FROM artifacts WHERE run_id = ? AND path > ? AND path < ? LIMIT 1'
  if (database.get(sql, runId, from, to) === undefined) throw sourceEmpty(source)
}

/** @throws NotFoundError. */
export function versionRow(database: Database, name: string, version: number): Row {
  const row = database.get('SELECT * FROM model_versions WHERE name = ? AND version = ?', name, version)
  if (row !== undefined) return row
  modelRow(database, name)
  const existing = database.all('SELECT version FROM model_versions WHERE name = ? ORDER BY version', name)
  throw noSuchVersion(
    name,
    version,
    existing.map((other) => Number(other.version)),
  )
}

/** Completes a row of `model_versions`. */
export function versionOf(database: Database, row: Row): ModelVersion {
  const { name, version } = row
  const aliases = database.all('SELECT alias FROM aliases WHERE name = ? AND version = ? ORDER BY alias', name, version)
  const tags = database.all('SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?', name, version)
  return {
    name: String(name),
    version: Number(version),
    description: String(row.description),
    creationTime: Number(row.creation_time),
    lastUpdatedTime: Number(row.last_updated_time),
    source: String(row.source),
    ...(row.run_id === null ? {} : { runId: String(row.run_id) }),
    tags: pairs(tags),
    aliases: aliases.map((entry) => String(entry.alias)),
    status: 'READY',
  }
}

function putVersionTag(database: Database, name: string, version: number, key: string, value: string): void {
  const upsert = 'INSERT INTO model_version_tags VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value'
  database.run(upsert, name, version, key, value)
}
