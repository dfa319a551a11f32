import type { EpochMs } from '../../datasets/table/transaction.ts'
import { experimentTaken } from '../conflict.ts'
import type { Experiment } from '../model.ts'
import { checkExperimentName, checkTags, MAX_EXPERIMENT_TAG_VALUE } from '../naming.ts'
import { noSuchExperiment } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { pairs, type Database, type Row } from './database.ts'

type ExperimentVerbs = Pick<
  Registry,
  'createExperiment' | 'getExperiment' | 'getExperimentByName' | 'searchExperiments'
>

export function experimentVerbs(database: Database, now: () => EpochMs): ExperimentVerbs {
  const experimentOf = (row: Row): Experiment => ({
    experimentId: String(row.experiment_id),
    name: String(row.name),
    tags: pairs(database.all('SELECT key, value FROM experiment_tags WHERE experiment_id = ?', row.experiment_id)),
    creationTime: Number(row.creation_time),
    lastUpdateTime: Number(row.last_update_time),
  })
  return {
    async createExperiment(name, { tags = {}, mayExist = false } = {}) {
      checkExperimentName(name)
      checkTags(tags, MAX_EXPERIMENT_TAG_VALUE)
      return database.write(() => {
        const existing = database.get('SELECT experiment_id FROM experiments WHERE name = ?', name)
        if (existing !== undefined && mayExist) return String(existing.experiment_id)
        if (existing !== undefined) throw experimentTaken(name, String(existing.experiment_id))
        const time = now()
        const row = database.get(
          'INSERT INTO experiments VALUES (NULL, ?, ?, ?) RETURNING experiment_id',
          name,
          time,
          time,
        )
        const id = String(row?.experiment_id)
        for (const [key, value] of Object.entries(tags))
          database.run('INSERT INTO experiment_tags VALUES (?, ?, ?)', Number(id), key, value)
        return id
      })
    },

    async getExperiment(experimentId) {
      return database.read(() => experimentOf(experimentRow(database, experimentId)))
    },

    async getExperimentByName(name) {
      return database.read(() => {
        const row = database.get('SELECT * FROM experiments WHERE name = ?', name)
        return row === undefined ? undefined : experimentOf(row)
      })
    },

    async searchExperiments() {
      return database.read(() =>
        database.all('SELECT * FROM experiments ORDER BY creation_time DESC, experiment_id DESC').map(experimentOf),
      )
    },
  }
}

/** @throws NotFoundError for an id that no experiment has; ids are text, so any text may come. */
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
