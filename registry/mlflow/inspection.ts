import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { clockSkew, judgeClock } from '../../configs/clock-skew.ts'
import { broken, find, findLatency, type Finding, type Inspection, type Judgement } from '../../configs/finding.ts'
import { UserError } from '../../configs/user-error.ts'
import type { MlflowCredentials } from '../registry.ts'
import { mlflowClient, nothing, type MlflowClient } from './client.ts'
import { authorization } from './credentials.ts'
import { isMissing, MlflowError } from './fault.ts'

const OLDEST_MAJOR = 3
/** The trial's experiment. A deleted one keeps its name and row until `mlflow gc`, so it is restored each time. */
const TRIAL = 'fd-doctor'
const ANSWER_WITHIN_MS = 10_000
/** Attempts at the experiment while others try theirs, and the pause after the first one. Later pauses are longer. */
const TRIES = 8
const PAUSE_MS = 50
/** MLflow's codes when somebody else made, deleted or restored an experiment since we looked. */
const TAKEN_AWAY = new Set(['RESOURCE_ALREADY_EXISTS', 'RESOURCE_DOES_NOT_EXIST', 'INVALID_PARAMETER_VALUE'])

/**
 * Looks at a tracking server as the registry will use it: version, latency, permissions and clock.
 *
 * Whether this user may keep experiments, models and artifacts is tried on some of its own, which are removed.
 */
export async function inspectMlflow(
  url: string,
  credentials: MlflowCredentials,
  { now, id }: Inspection,
): Promise<Finding[]> {
  // A server that is not there is told at once. Later a fault of the moment, such as a database that is busy with
  // others, is waited out as in any command.
  const [first, client] = [mlflowClient(url, credentials, 0), mlflowClient(url, credentials)]
  const { server: address, header } = authorization(url, credentials)
  const server = await find('server', async () => {
    // First through the client, whose errors say what is wrong with address and credentials.
    await searchOnce(first)
    return judgeVersion(address, await askVersion(address, header))
  })
  if (server.state === 'broken') return [server]
  return [
    server,
    await findLatency(now, () => searchOnce(client)),
    await find('permissions', () => tryServer(client, `${TRIAL}-${id}`)),
    await find('clock', async () => {
      const before = now()
      const told = Date.parse((await askVersion(address, header)).headers.get('date') ?? '')
      return Number.isNaN(told)
        ? 'the server does not tell its time'
        : judgeClock(clockSkew(before, told, now(), 1000), 'The clock of MLflow')
    }),
  ]
}

/** A cheap call that needs the server, its database and the credentials. */
async function searchOnce(client: MlflowClient): Promise<void> {
  await client.send('POST', 'experiments/search', { max_results: 1 }, nothing)
}

function askVersion(address: string, header: string | undefined): Promise<Response> {
  return fetch(`${address}/version`, {
    headers: { connection: 'close', ...(header === undefined ? {} : { authorization: header }) },
    redirect: 'manual',
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  })
}

async function judgeVersion(address: string, response: Response): Promise<string | Judgement> {
  const version = (await response.text()).trim()
  if (!response.ok || !/^\d+\.\d+/.test(version)) {
    return broken(
      `${address} is no MLflow server: it answers ${response.status} to GET /version. Set MLFLOW_TRACKING_URI to one`,
    )
  }
  if (Number.parseInt(version, 10) < OLDEST_MAJOR) {
    return broken(`${address}: MLflow ${version}, fd needs ${OLDEST_MAJOR} or later. Run: pip install --upgrade mlflow`)
  }
  return `${address}: MLflow ${version}`
}

async function tryServer(client: MlflowClient, name: string): Promise<string> {
  await tryExperiment(client, name)
  await tryModel(client, name)
  await tryArtifact(client, name)
  return 'made, wrote, read and deleted an experiment, a model and an artifact'
}

/** Others may try the same experiment at the same time. When one of them takes it away, it is opened again. */
async function tryExperiment(client: MlflowClient, value: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await tagExperiment(client, value)
      return
    } catch (error) {
      if (tries === TRIES || !(error instanceof MlflowError && TAKEN_AWAY.has(error.code))) throw error
      await sleep(tries * PAUSE_MS)
    }
  }
}

async function tagExperiment(client: MlflowClient, value: string): Promise<void> {
  const experiment = { experiment_id: await openTrial(client) }
  try {
    const tag = { ...experiment, key: TRIAL, value }
    await client.send('POST', 'experiments/set-experiment-tag', tag, nothing)
    await client.get('experiments/get', experiment, nothing)
  } finally {
    await client.send('POST', 'experiments/delete', experiment, nothing)
  }
}

async function tryModel(client: MlflowClient, name: string): Promise<void> {
  await client.sendOnce('POST', 'registered-models/create', { name }, nothing)
  try {
    await client.get('registered-models/get', { name }, nothing)
  } finally {
    await client.send('DELETE', 'registered-models/delete', { name }, nothing)
  }
}

async function tryArtifact(client: MlflowClient, name: string): Promise<void> {
  const file = `${name}/trial`
  await client.writeFile(file, Buffer.from(name))
  try {
    const read = Buffer.from(await client.readFile(file)).toString()
    if (read !== name) {
      throw new UserError(
        `${client.url} gave back ${JSON.stringify(read.slice(0, 60))} for an artifact that was just written. ` +
          "Look at the server's log.",
      )
    }
  } finally {
    await client.deleteFile(file)
  }
}

const held = z.object({
  experiment: z.object({ experiment_id: z.string(), lifecycle_stage: z.string().default('active') }),
})
const created = z.object({ experiment_id: z.string() })

/** The id of the trial's experiment, which is made or restored. */
async function openTrial(client: MlflowClient): Promise<string> {
  const kept = await findTrial(client)
  if (kept === undefined) {
    return (await client.sendOnce('POST', 'experiments/create', { name: TRIAL }, created)).experiment_id
  }
  if (kept.lifecycle_stage === 'deleted') {
    await client.send('POST', 'experiments/restore', { experiment_id: kept.experiment_id }, nothing)
  }
  return kept.experiment_id
}

async function findTrial(client: MlflowClient): Promise<z.output<typeof held>['experiment'] | undefined> {
  try {
    return (await client.get('experiments/get-by-name', { experiment_name: TRIAL }, held)).experiment
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
