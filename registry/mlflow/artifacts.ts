import { createHash } from 'node:crypto'
import { UserError } from '../../configs/user-error.ts'
import { artifactChanged, fileAndFolder } from '../conflict.ts'
import type { ArtifactInfo, Run } from '../model.ts'
import { checkArtifactPath } from '../naming.ts'
import { noSuchArtifact } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import type { MlflowClient } from './client.ts'
import { artifact } from './json.ts'
import { allPages } from './pages.ts'
import { getRun, ofRun, setTag } from './runs.ts'

type ArtifactVerbs = Pick<Registry, 'logArtifact' | 'listArtifacts' | 'downloadArtifact'>

/**
 * Artifacts through the server's proxy (`mlflow server --serve-artifacts`, the default), so that no client needs the
 * keys of the store.
 *
 * The proxy knows neither write-once nor checksums. So a path is looked at before it is written, and the sha256 goes
 * to a tag of the run *before* the bytes go to the store. A kill between the two leaves a tag without a file, which
 * is no artifact and may be written again. Bytes that were cut short, were changed later, or come from another writer
 * of the same moment do not fit the tag, and a download says so.
 */
export function artifactVerbs(client: MlflowClient): ArtifactVerbs {
  return {
    logArtifact: (runId, path, bytes) => logArtifact(client, runId, path, bytes),

    async listArtifacts(runId, path) {
      if (path !== undefined) checkArtifactPath(path)
      return listArtifacts(client, runId, path)
    },

    downloadArtifact: (runId, path) => downloadArtifact(client, runId, path),
  }
}

async function logArtifact(client: MlflowClient, runId: string, path: string, bytes: Uint8Array): Promise<void> {
  checkArtifactPath(path)
  const run = await getRun(client, runId)
  const file = `${rootOf(client, run.artifactUri)}/${path}`
  const there = await lookUp(client, runId, path)
  if (there?.isDir === true) throw fileAndFolder(runId, path, `${path}/`)
  const sha256 = digest(bytes)
  const size = bytes.byteLength
  if (there !== undefined && (await isSame(client, { run, path, file, size: there.fileSize }, { sha256, size }))) return
  if (run.tags[tagOf(path)] !== sha256) await setTag(client, runId, tagOf(path), sha256)
  if (there === undefined || there.fileSize !== size) await client.writeFile(file, bytes)
}

async function downloadArtifact(client: MlflowClient, runId: string, path: string): Promise<Uint8Array> {
  checkArtifactPath(path)
  const run = await getRun(client, runId)
  // Looked for first: the stock server answers 500 for a file that is not there, and the client repeats such a call.
  const siblings = await listArtifacts(client, runId, parentOf(path))
  if (!siblings.some((sibling) => sibling.path === path && !sibling.isDir)) {
    throw noSuchArtifact(
      runId,
      path,
      siblings.map((sibling) => sibling.path),
    )
  }
  const bytes = await client.readFile(`${rootOf(client, run.artifactUri)}/${path}`)
  const logged = loggedDigest(run, path)
  if (logged === undefined) return bytes
  const found = digest(bytes)
  if (found === logged) return bytes
  throw new UserError(
    `Artifact "${path}" of run ${runId} on ${client.url} is not the file that was logged: ` +
      `its sha256 is ${found}, logged was ${logged}. ` +
      'Restore it from a backup, or train and promote again: fd train --help',
  )
}

/** Everything directly in a folder, by path. Empty when there is no such folder. */
export async function listArtifacts(client: MlflowClient, runId: string, path?: string): Promise<ArtifactInfo[]> {
  const pages = allPages('files', artifact, (schema, token) =>
    client.get('artifacts/list', { run_id: runId, path, page_token: token }, schema),
  )
  const found = await ofRun(runId, pages)
  return found.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/**
 * The place of an artifact root below the server's proxy.
 *
 * @throws UserError when the server tells its clients to reach the store themselves.
 */
export function rootOf(client: MlflowClient, uri: string): string {
  const [, path] = /^mlflow-artifacts:\/+(?!\/)(.+)$/.exec(uri) ?? []
  if (path !== undefined && !/^mlflow-artifacts:\/\/[^/]/.test(uri)) return path.replace(/\/+$/, '')
  throw new UserError(
    `${client.url} keeps artifacts at ${uri}, past its own proxy. ` +
      'Start it with: mlflow server --serve-artifacts, and make a new experiment.',
  )
}

/** A file of a run in the store. */
interface StoredFile {
  run: Run
  path: string
  /** Its place below the server's artifact root. */
  file: string
  /** Bytes. */
  size: number
}

/**
 * Whether the file in the store is the one to be logged; false when it was cut short and must be written again.
 *
 * @throws UserError when other bytes were logged.
 */
async function isSame(
  client: MlflowClient,
  { run, path, file, size }: StoredFile,
  wanted: { sha256: string; size: number },
): Promise<boolean> {
  const logged = loggedDigest(run, path)
  if (logged !== undefined && logged !== wanted.sha256) throw artifactChanged(run.runId, path)
  if (logged !== undefined) return size === wanted.size
  if (digest(await client.readFile(file)) !== wanted.sha256) throw artifactChanged(run.runId, path)
  return false
}

/** What is at a path. @throws UserError when a part of the way to it is a file. */
async function lookUp(client: MlflowClient, runId: string, path: string): Promise<ArtifactInfo | undefined> {
  const parts = path.split('/')
  for (let depth = 1; ; depth++) {
    const prefix = parts.slice(0, depth).join('/')
    const found = (await listArtifacts(client, runId, parentOf(prefix))).find((info) => info.path === prefix)
    if (found === undefined || depth === parts.length) return found
    if (!found.isDir) throw fileAndFolder(runId, path, prefix)
  }
}

function parentOf(path: string): string | undefined {
  const slash = path.lastIndexOf('/')
  return slash === -1 ? undefined : path.slice(0, slash)
}

/** The sha256 under which `fd` logged an artifact; undefined when another tool logged it. */
function loggedDigest({ tags }: Run, path: string): string | undefined {
  return Object.hasOwn(tags, tagOf(path)) ? tags[tagOf(path)] : undefined
}

/**
 * The run's tag for the sha256 of an artifact. A path that is no legal tag name, because it is long or not ASCII, is
 * named by its own digest.
 */
function tagOf(path: string): string {
  return `fd.sha256/${/^[\w.\- /]{1,200}$/.test(path) ? path : `path-${digest(Buffer.from(path))}`}`
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
