import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, openSync, renameSync } from 'node:fs'
import { open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeFolder } from '../../configs/folder.ts'
import { errorCode, errorMessage, UserError } from '../../configs/user-error.ts'
import { DAY, type EpochMs } from '../../datasets/table/transaction.ts'
import { artifactChanged, fileAndFolder } from '../conflict.ts'
import type { ArtifactInfo } from '../model.ts'
import { checkArtifactPath } from '../naming.ts'
import { noSuchArtifact, noSuchRun } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import type { Database, Row } from './database.ts'

type ArtifactVerbs = Pick<Registry, 'logArtifact' | 'listArtifacts' | 'downloadArtifact'>

/**
 * The folder of a run's artifacts, EXPERIMENT/RUN/artifacts as an MLflow server lays it out. A model's folder in it can
 * be loaded as it is.
 */
export function artifactRoot(folder: string, experimentId: string, runId: string): string {
  return join(folder, 'artifacts', experimentId, runId, 'artifacts')
}

/** The folder of files that are not complete yet. */
function incoming(folder: string): string {
  return join(folder, 'artifacts', '.incoming')
}

/** The two places of artifacts: rows in the database, files below `folder`. */
interface ArtifactStore {
  database: Database
  folder: string
  newId: () => string
}

/**
 * Artifacts as plain files. The database knows the size and sha256 of each, and a file that it does not know does not
 * exist.
 *
 * The order is: the file is written to `.incoming` and synced; then, inside one transaction, moved into place, its
 * folders synced, and its row made, as a decision. So a row never stands on the disk before its file does, and both
 * stand there when the call returns. A kill or a power cut between the move and the commit leaves a file without a row.
 * Nobody sees it, and the next log of that path replaces it.
 */
export function artifactVerbs(database: Database, folder: string, newId: () => string): ArtifactVerbs {
  const store: ArtifactStore = { database, folder, newId }
  return {
    logArtifact: (runId, path, bytes) => logArtifact(store, runId, path, bytes),

    async listArtifacts(runId, path) {
      if (path !== undefined) checkArtifactPath(path)
      rootOf(store, runId)
      return children(artifactRows(database, runId), path === undefined ? '' : `${path}/`)
    },

    downloadArtifact: (runId, path) => downloadArtifact(store, runId, path),
  }
}

async function logArtifact(store: ArtifactStore, runId: string, path: string, bytes: Uint8Array): Promise<void> {
  checkArtifactPath(path)
  const { database, folder, newId } = store
  const file = join(rootOf(store, runId), path)
  const row = { runId, path, sha256: digest(bytes), size: bytes.byteLength }
  if (alreadyLogged(database, row)) return
  const temporary = join(incoming(folder), newId())
  try {
    await writeDurably(temporary, bytes)
    moveIntoPlace(store, row, temporary, file)
  } catch (error) {
    throw diskError(error, file)
  } finally {
    await rm(temporary, { force: true })
  }
}

async function downloadArtifact(store: ArtifactStore, runId: string, path: string): Promise<Uint8Array> {
  checkArtifactPath(path)
  const file = join(rootOf(store, runId), path)
  const row = store.database.get('SELECT sha256 FROM artifacts WHERE run_id = ? AND path = ?', runId, path)
  if (row !== undefined) return readLogged(file, String(row.sha256))
  const existing = artifactRows(store.database, runId).map((artifact) => String(artifact.path))
  throw noSuchArtifact(runId, path, existing)
}

/** @throws NotFoundError when there is no such run. */
function rootOf({ database, folder }: ArtifactStore, runId: string): string {
  const run = database.get('SELECT experiment_id FROM runs WHERE run_id = ?', runId)
  if (run === undefined) throw noSuchRun(runId)
  return artifactRoot(folder, String(run.experiment_id), runId)
}

/** Deletes what killed writers left half-written. No living write takes as long as a day. */
export async function sweepIncoming(folder: string, now: EpochMs): Promise<void> {
  makeFolder(incoming(folder))
  for (const name of await readdir(incoming(folder))) {
    const file = join(incoming(folder), name)
    try {
      if ((await stat(file)).mtimeMs < now - DAY) await rm(file, { force: true })
    } catch (error) {
      // ENOENT: the writer has just moved the file into place.
      if (errorCode(error) !== 'ENOENT') throw error
    }
  }
}

interface Artifact {
  runId: string
  path: string
  size: number
  sha256: string
}

/** One transaction: of two writers of a path, the second finds the row of the first, and a killed one leaves no row. */
function moveIntoPlace({ database, folder }: ArtifactStore, artifact: Artifact, temporary: string, file: string): void {
  const { runId, path, size, sha256 } = artifact
  database.write(() => {
    if (alreadyLogged(database, artifact)) return
    refuseOverlap(artifactRows(database, runId), runId, path)
    makeFolder(dirname(file))
    renameSync(temporary, file)
    syncFolders(dirname(file), folder)
    database.run('INSERT INTO artifacts VALUES (?, ?, ?, ?)', runId, path, size, sha256)
  }, 'decision')
}

function artifactRows(database: Database, runId: string): Row[] {
  return database.all('SELECT path, size, sha256 FROM artifacts WHERE run_id = ? ORDER BY path', runId)
}

function alreadyLogged(database: Database, { runId, path, sha256 }: Artifact): boolean {
  const row = database.get('SELECT sha256 FROM artifacts WHERE run_id = ? AND path = ?', runId, path)
  if (row === undefined || row.sha256 === sha256) return row !== undefined
  throw artifactChanged(runId, path)
}

function refuseOverlap(rows: Row[], runId: string, path: string): void {
  const other = rows
    .map((row) => String(row.path))
    .find((existing) => existing.startsWith(`${path}/`) || path.startsWith(`${existing}/`))
  if (other !== undefined) throw fileAndFolder(runId, path, other)
}

/** What is directly below `prefix`, which is empty or ends with a slash. */
function children(rows: Row[], prefix: string): ArtifactInfo[] {
  const found = new Map<string, ArtifactInfo>()
  for (const row of rows) {
    const path = String(row.path)
    if (!path.startsWith(prefix)) continue
    const slash = path.indexOf('/', prefix.length)
    const child = slash === -1 ? path : path.slice(0, slash)
    found.set(child, slash === -1 ? { path, isDir: false, fileSize: Number(row.size) } : { path: child, isDir: true })
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  await using handle = await open(file, 'wx')
  await handle.writeFile(bytes)
  await handle.sync()
}

/** Makes the names from `leaf` up to `top` durable. Windows cannot sync a folder, but it journals renames. */
function syncFolders(leaf: string, top: string): void {
  if (process.platform === 'win32') return
  for (let folder = leaf; folder.startsWith(top); folder = dirname(folder)) {
    const handle = openSync(folder, 'r')
    try {
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
  }
}

async function readLogged(file: string, sha256: string): Promise<Uint8Array> {
  const bytes = await readFile(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') throw damaged(file, 'it is gone', error)
    const message = `${file} cannot be read (${errorMessage(error)}). Check it with: ls -l ${file}`
    throw new UserError(message, { cause: error })
  })
  if (digest(bytes) !== sha256) throw damaged(file, `its sha256 is ${digest(bytes)}, logged was ${sha256}`)
  return bytes
}

function damaged(file: string, why: string, cause?: unknown): UserError {
  return new UserError(
    `${file} is not the file that was logged: ${why}. ` +
      'Restore it from a backup, or train and promote again: fd train --help',
    { cause },
  )
}

/** A fault that a user can mend, in words; any other error as it is. */
function diskError(error: unknown, file: string): unknown {
  const message = diskMessage(error, file)
  return message === undefined ? error : new UserError(message, { cause: error })
}

function diskMessage(error: unknown, file: string): string | undefined {
  switch (errorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return `The disk is full; ${file} was not written. Make room, then repeat the command: df -h ${dirname(file)}`
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `${file} cannot be written (${errorMessage(error)}). Give this user the right: ls -ld ${dirname(file)}`
    default:
      return undefined
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
