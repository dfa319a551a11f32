import type { DatabaseSync } from 'node:sqlite'
import { UserError } from '../../configs/user-error.ts'
import type { EpochMs } from '../../datasets/table/transaction.ts'
import { HISTORY_TAG } from '../naming.ts'

/**
 * Step n takes a database from `user_version` n to n + 1. A step that was released never changes.
 *
 * - SQLite has no NaN (binding one stores NULL), so a NaN is `is_nan = 1` with value 0. Infinities are stored as they
 *   are.
 * - `latest_metrics` repeats the newest row of each key, because a search over a thousand runs must not read histories.
 * - `next_version` outlives its versions, so that a number is never given twice.
 * - The triggers hold against any SQL client.
 */
const MIGRATIONS = [
  `
  CREATE TABLE experiments (
    experiment_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    creation_time INTEGER NOT NULL,
    last_update_time INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE experiment_tags (
    experiment_id INTEGER NOT NULL REFERENCES experiments, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (experiment_id, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    experiment_id INTEGER NOT NULL REFERENCES experiments,
    run_name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED')),
    start_time INTEGER NOT NULL,
    end_time INTEGER,
    CHECK ((end_time IS NULL) = (status IN ('RUNNING', 'SCHEDULED')))
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX runs_by_start ON runs (experiment_id, start_time DESC, run_id);
  CREATE TABLE params (
    run_id TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run_id, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE tags (
    run_id TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run_id, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX tags_by_value ON tags (key, value);
  CREATE TABLE metrics (
    run_id TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL,
    step INTEGER NOT NULL, timestamp INTEGER NOT NULL, is_nan INTEGER NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (run_id, key, step, timestamp, value, is_nan)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE latest_metrics (
    run_id TEXT NOT NULL REFERENCES runs, key TEXT NOT NULL,
    step INTEGER NOT NULL, timestamp INTEGER NOT NULL, is_nan INTEGER NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (run_id, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE artifacts (
    run_id TEXT NOT NULL REFERENCES runs, path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (run_id, path)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE registered_models (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    creation_time INTEGER NOT NULL,
    last_updated_time INTEGER NOT NULL,
    next_version INTEGER NOT NULL DEFAULT 1
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE registered_model_tags (
    name TEXT NOT NULL REFERENCES registered_models, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE model_versions (
    name TEXT NOT NULL REFERENCES registered_models,
    version INTEGER NOT NULL,
    description TEXT NOT NULL,
    creation_time INTEGER NOT NULL,
    last_updated_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    run_id TEXT REFERENCES runs,
    PRIMARY KEY (name, version)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE model_version_tags (
    name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (name, version, key),
    FOREIGN KEY (name, version) REFERENCES model_versions ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE aliases (
    name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (name, alias),
    FOREIGN KEY (name, version) REFERENCES model_versions
  ) STRICT, WITHOUT ROWID;

  CREATE TRIGGER history_is_not_changed BEFORE UPDATE ON registered_model_tags WHEN OLD.key GLOB '${HISTORY_TAG}*'
  BEGIN SELECT RAISE(ABORT, 'the history of a model is append-only'); END;
  CREATE TRIGGER history_is_not_deleted BEFORE DELETE ON registered_model_tags WHEN OLD.key GLOB '${HISTORY_TAG}*'
  BEGIN SELECT RAISE(ABORT, 'the history of a model is append-only'); END;
  `,
  // REPLACE deletes a row without the trigger on DELETE, and an UPDATE can turn another tag into an entry.
  `
  DROP TRIGGER history_is_not_changed;
  CREATE TRIGGER history_is_not_changed BEFORE UPDATE ON registered_model_tags
  WHEN OLD.key GLOB '${HISTORY_TAG}*' OR NEW.key GLOB '${HISTORY_TAG}*'
  BEGIN SELECT RAISE(ABORT, 'the history of a model is append-only'); END;
  CREATE TRIGGER history_is_not_replaced BEFORE INSERT ON registered_model_tags
  WHEN NEW.key GLOB '${HISTORY_TAG}*'
    AND EXISTS (SELECT 1 FROM registered_model_tags WHERE name = NEW.name AND key = NEW.key)
  BEGIN SELECT RAISE(ABORT, 'the history of a model is append-only'); END;
  `,
]

/**
 * Brings a database to the newest schema. Several processes may call this at once; one of them does the work.
 *
 * @param file named in the error.
 * @param now creation time of the experiment `Default`, which every registry has.
 * @param checkNew called with the database locked, before the first step. It may throw to refuse a new registry here.
 * @throws UserError when a newer `fd` wrote it.
 */
export function migrate(database: DatabaseSync, file: string, now: EpochMs, checkNew: () => void): void {
  if (schemaVersion(database) === MIGRATIONS.length) return
  database.exec('BEGIN IMMEDIATE')
  try {
    const version = schemaVersion(database)
    if (version > MIGRATIONS.length) {
      throw new UserError(
        `${file} has schema ${version}, this fd knows schema ${MIGRATIONS.length}: a newer fd wrote it. ` +
          'Update this one: git pull',
      )
    }
    if (version === 0) checkNew()
    for (const step of MIGRATIONS.slice(version)) database.exec(step)
    if (version === 0) database.prepare("INSERT INTO experiments VALUES (0, 'Default', ?, ?)").run(now, now)
    database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`)
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function schemaVersion(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.user_version)
}
