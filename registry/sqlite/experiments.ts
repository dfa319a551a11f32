import type { EpochMs } from '../../datasets/table/transaction.ts'
import { experimentTaken } from '../conflict.ts'
import type { Experiment, Tags } from '../model.ts'
import { checkExperimentName, checkTags, MAX_EXPERIMENT_TAG_VALUE } from '../naming.ts'
import { noSuchExperiment } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { pairs, type Database, type Row } from './database.ts'

type ExperimentVerbs = Pick<
  Registry,
  'createExperiment' | 'getExperiment' | 'getExperimentByName' | 'searchExperiments'
>

export function experimentVerbs(database: Database, now: () => EpochMs): ExperimentVerbs {
  return {
    async createExperiment(name, { tags = {}, mayExist = false } = {}) {
      checkExperimentName(name)
      checkTags(tags, MAX_EXPERIMENT_TAG_VALUE)
      return database.write(() => {
        const existing = database.get('SELECT experiment_id FROM experiments WHERE name = ?', name)
        if (existing === undefined) return insertExperiment(database, name, tags, now())
        if (!mayExist) throw experimentTaken(name, String(existing.experiment_id))
        return String(existing.experiment_id)
      })
    },

    async getExperiment(experimentId) {
      return database.read(() => experimentOf(database, experimentRow(database, experimentId)))
    },

    async getExperimentByName(name) {
      return database.read(() => {
        const row = database.get('SELECT * FROM experiments WHERE name = ?', name)
        return row === undefined ? undefined : experimentOf(database, row)
      })
    },

    async searchExperiments() {
      const sql = 'SELECT * FROM experiments ORDER BY creation_time DESC, experiment_id DESC'
      return database.read(() => database.all(sql).map((row) => experimentOf(database, row)))
    },
  }
}

/** @returns its id. */
function insertExperiment(database: Database, name: string, tags: Tags, time: EpochMs): string {
  const insert = 'INSERT INTO experiments VALUES (NULL, ?, ?, ?) RETURNING experiment_id'
  const id = String(database.get(insert, name, time, time)?.experiment_id)
  for (const [key, value] of Object.entries(tags)) {
    database.run('INSERT INTO experiment_tags VALUES (?, ?, ?)', Number(id), key, value)
  }
  return id
}

/** Completes a row of `experiments`. */
function experimentOf(database: Database, row: Row): Experiment {
  return {
    experimentId: String(row.experiment_id),
    name: String(row.name),
    tags: pairs(database.all('SELECT key, value FROM experiment_tags WHERE experiment_id = ?', row.experiment_id)),
    creationTime: Number(row.creation_time),
    lastUpdateTime: Number(row.last_update_time),
  }
}

/** @throws NotFoundError for an id that no experiment has. Ids are text, so it may be any text. */
export function experimentRow(database: Database, experimentId: string): Row {
  const row = /^\d{1,15}$/.test(experimentId)
    ? database.get('SELECT * FROM experiments WHERE experiment_id = ?', Number(experimentId))
    : undefined
  if (row !== undefined) return row
  const existing = database.all('SELECT experiment_id, name FROM experiments ORDER BY experiment_id')
  throw noSuchExperiment(
    experimentId,
    existing.map((other) => `${String(other.experiment_id)} ("${String(other.name)}")`),
  )
}
