import { createHash } from 'node:crypto'
import { mkdirSync, renameSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorCode, errorMessage, UserError } from '../../configs/user-error.ts'
import { DAY, type EpochMs } from '../../datasets/table/transaction.ts'
import { artifactChanged, fileAndFolder } from '../conflict.ts'
import type { ArtifactInfo } from '../model.ts'
import { checkArtifactPath } from '../naming.ts'
import { noSuchArtifact, noSuchRun } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import type { Database, Row } from './database.ts'

type ArtifactVerbs = Pick<Registry, 'logArtifact' | 'listArtifacts' | 'downloadArtifact'>

/** Where a run's artifacts are, laid out as an MLflow server does: EXPERIMENT/RUN/artifacts. A model's folder in it can be loaded as it stands. */
export function artifactRoot(folder: string, experimentId: string, runId: string): string {
  return join(folder, 'artifacts', experimentId, runId, 'artifacts')
}

/** Folder of files not yet complete. */
function incoming(folder: string): string {
  return join(folder, 'artifacts', '.incoming')
}

/**
 * Artifacts as plain files; the database knows the size and sha256 of each, and only what it knows exists.
 *
 * A file is written beside, synced, and moved into place inside the transaction that makes its row. A kill between the two
 * leaves a file without a row, which nobody sees and the next log of that path replaces.
 */
export function artifactVerbs(database: Database, folder: string, newId: () => string): ArtifactVerbs {
  const rootOf = (runId: string): string => {
    const run = database.get('SELECT experiment_id FROM runs WHERE run_id = ?', runId)
    if (run === undefined) throw noSuchRun(runId)
    return artifactRoot(folder, String(run.experiment_id), runId)
  }
  return {
    async logArtifact(runId, path, bytes) {
      checkArtifactPath(path)
      const file = join(rootOf(runId), path)
      const row = { runId, path, sha256: digest(bytes), size: bytes.byteLength }
      if (alreadyLogged(database, row)) return
      const temporary = join(incoming(folder), newId())
      try {
        await writeDurably(temporary, bytes)
        moveIntoPlace(database, row, temporary, file)
        await syncFolders(dirname(file), join(folder, 'artifacts'))
      } catch (error) {
        throw diskError(error, file)
      } finally {
        await rm(temporary, { force: true })
      }
    },

    async listArtifacts(runId, path) {
      if (path !== undefined) checkArtifactPath(path)
      rootOf(runId)
      return children(artifactRows(database, runId), path === undefined ? '' : `${path}/`)
    },

    async downloadArtifact(runId, path) {
      checkArtifactPath(path)
      const file = join(rootOf(runId), path)
      const row = database.get('SELECT sha256 FROM artifacts WHERE run_id = ? AND path = ?', runId, path)
      if (row === undefined)
        throw noSuchArtifact(
          runId,
          path,
          artifactRows(database, runId).map((artifact) => String(artifact.path)),
        )
      return readLogged(file, String(row.sha256))
    },
  }
}

/** Deletes what killed writers left half-written: files of a day ago, which no living write can be. */
export async function sweepIncoming(folder: string, now: EpochMs): Promise<void> {
  await mkdir(incoming(folder), { recursive: true })
  for (const name of await readdir(incoming(folder))) {
    const file = join(incoming(folder), name)
    try {
      if ((await stat(file)).mtimeMs < now - DAY) await rm(file, { force: true })
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error // Its writer has just moved it into place.
    }
  }
}

interface Artifact {
  runId: string
  path: string
  size: number
  sha256: string
}

/** One transaction, so that of two writers of a path one finds the other's row; a killed one leaves no row. */
function moveIntoPlace(database: Database, artifact: Artifact, temporary: string, file: string): void {
  const { runId, path, size, sha256 } = artifact
  database.write(() => {
    if (alreadyLogged(database, artifact)) return
    refuseOverlap(artifactRows(database, runId), runId, path)
    mkdirSync(dirname(file), { recursive: true })
    renameSync(temporary, file)
    database.run('INSERT INTO artifacts VALUES (?, ?, ?, ?)', runId, path, size, sha256)
  })
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

/** Makes the names on the way from `leaf` up to `top` durable; a folder cannot be synced on Windows, which journals renames. */
async function syncFolders(leaf: string, top: string): Promise<void> {
  if (process.platform === 'win32') return
  for (let folder = leaf; folder.startsWith(top); folder = dirname(folder)) {
    await using handle = await open(folder, 'r')
    await handle.sync()
  }
}

async function readLogged(file: string, sha256: string): Promise<Uint8Array> {
  const bytes = await readFile(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') throw damaged(file, 'it is gone', error)
    throw new UserError(`${file} cannot be read (${errorMessage(error)}). Check it with: ls -l ${file}`, {
      cause: error,
    })
  })
  if (digest(bytes) !== sha256) throw damaged(file, `its sha256 is ${digest(bytes)}, logged was ${sha256}`)
  return bytes
}

function damaged(file: string, why: string, cause?: unknown): UserError {
  return new UserError(
    `${file} is not the file that was logged: ${why}. Restore it from a backup, or train and promote again: fd train --help`,
    { cause },
  )
}

function diskError(error: unknown, file: string): unknown {
  const code = errorCode(error)
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new UserError(
      `The disk is full; ${file} was not written. Make room, then repeat the command: df -h ${dirname(file)}`,
      { cause: error },
    )
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new UserError(
      `${file} cannot be written (${errorMessage(error)}). Give this user the right: ls -ld ${dirname(file)}`,
      { cause: error },
    )
  return error
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
