import type { EpochMs } from '../../datasets/table/transaction.ts'
import { modelTaken } from '../conflict.ts'
import type { RegisteredModel, Tags } from '../model.ts'
import { checkModelName, checkModelTag, checkNotHistory } from '../naming.ts'
import { noSuchModel } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { pairs, type Database, type Row } from './database.ts'

type ModelVerbs = Pick<
  Registry,
  | 'createRegisteredModel'
  | 'getRegisteredModel'
  | 'searchRegisteredModels'
  | 'setRegisteredModelTag'
  | 'deleteRegisteredModelTag'
>

export function modelVerbs(database: Database, now: () => EpochMs): ModelVerbs {
  return {
    async createRegisteredModel(name, { tags = {}, description = '', mayExist = false } = {}) {
      checkModelName(name)
      for (const [key, value] of Object.entries(tags)) checkModelTag(key, value)
      const time = now()
      return database.write(() => {
        const added = insertModel(database, { name, description, tags, time })
        if (!added && !mayExist) throw modelTaken(name)
        return modelOf(database, modelRow(database, name))
      }, 'decision')
    },

    async getRegisteredModel(name) {
      return database.read(() => modelOf(database, modelRow(database, name)))
    },

    async searchRegisteredModels() {
      const sql = 'SELECT * FROM registered_models ORDER BY name'
      return database.read(() => database.all(sql).map((row) => modelOf(database, row)))
    },

    async setRegisteredModelTag(name, key, value) {
      checkModelTag(key, value)
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
        if (removeModelTag(database, name, key)) touch(database, name, now())
      })
    },
  }
}

interface NewModel {
  name: string
  description: string
  tags: Tags
  time: EpochMs
}

/** @returns false, with nothing written, when the name is taken. */
function insertModel(database: Database, { name, description, tags, time }: NewModel): boolean {
  const insert = 'INSERT INTO registered_models VALUES (?, ?, ?, ?, 1) ON CONFLICT DO NOTHING'
  if (database.run(insert, name, description, time, time) === 0) return false
  for (const [key, value] of Object.entries(tags)) putModelTag(database, name, key, value)
  return true
}

/** @throws NotFoundError. */
export function modelRow(database: Database, name: string): Row {
  const row = database.get('SELECT * FROM registered_models WHERE name = ?', name)
  if (row !== undefined) return row
  const existing = database.all('SELECT name FROM registered_models ORDER BY name')
  throw noSuchModel(
    name,
    existing.map((other) => String(other.name)),
  )
}

/** Completes a row of `registered_models`. */
export function modelOf(database: Database, row: Row): RegisteredModel {
  const aliases = database.all('SELECT alias, version FROM aliases WHERE name = ? ORDER BY alias', row.name)
  const latest = database.get('SELECT max(version) AS version FROM model_versions WHERE name = ?', row.name)?.version
  return {
    name: String(row.name),
    description: String(row.description),
    creationTime: Number(row.creation_time),
    lastUpdatedTime: Number(row.last_updated_time),
    tags: pairs(database.all('SELECT key, value FROM registered_model_tags WHERE name = ?', row.name)),
    aliases: Object.fromEntries(aliases.map((entry) => [String(entry.alias), Number(entry.version)])),
    latestVersion: latest === undefined || latest === null ? undefined : Number(latest),
  }
}

function putModelTag(database: Database, name: string, key: string, value: string): void {
  const upsert = 'INSERT INTO registered_model_tags VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value'
  database.run(upsert, name, key, value)
}

/** @returns false when there was no such tag. */
function removeModelTag(database: Database, name: string, key: string): boolean {
  return database.run('DELETE FROM registered_model_tags WHERE name = ? AND key = ?', name, key) === 1
}

/** Stamps a model as changed. */
export function touch(database: Database, name: string, time: EpochMs): void {
  database.run('UPDATE registered_models SET last_updated_time = ? WHERE name = ?', time, name)
}
