import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { clockSkew, judgeClock } from '../../configs/clock-skew.ts'
import { broken, find, findLatency, type Finding, type Inspection, type Judgement } from '../../configs/finding.ts'
import { UserError } from '../../configs/user-error.ts'
import type { MlflowCredentials } from '../registry.ts'
import { isMissing, mlflowClient, MlflowError, nothing, type MlflowClient } from './client.ts'
import { authorization } from './credentials.ts'

const OLDEST_MAJOR = 3
/** Deleted experiments keep their name and row until `mlflow gc`, so the trial has one, which is made again each time. */
const TRIAL = 'fd-doctor'
const ANSWER_WITHIN_MS = 10_000
/** Of the experiment, while others have theirs, and the pause after the first; each is longer. */
const TRIES = 8
const PAUSE_MS = 50
/** What MLflow calls it when an experiment was made, deleted or restored by somebody else since we looked. */
const TAKEN_AWAY = new Set(['RESOURCE_ALREADY_EXISTS', 'RESOURCE_DOES_NOT_EXIST', 'INVALID_PARAMETER_VALUE'])

/**
 * Looks at a tracking server as the registry will use it: version, latency, and whether this user may keep experiments, models
 * and artifacts, tried on some of its own, which are removed; and the server's clock.
 */
export async function inspectMlflow(
  url: string,
  credentials: MlflowCredentials,
  { now, id }: Inspection,
): Promise<Finding[]> {
  // A server that is not there is told at once; later a fault of the moment, such as a database that is busy with others, is waited out as in any command.
  const [first, client] = [mlflowClient(url, credentials, 0), mlflowClient(url, credentials)]
  const { server: address, header } = authorization(url, credentials)
  const ask = (): Promise<Response> =>
    fetch(`${address}/version`, {
      headers: { connection: 'close', ...(header === undefined ? {} : { authorization: header }) },
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    })
  const server = await find('server', async () => {
    // First through the client, whose errors say what is wrong with address and credentials.
    await first.send('POST', 'experiments/search', { max_results: 1 }, nothing)
    return judgeVersion(address, await ask())
  })
  if (server.state === 'broken') return [server]
  return [
    server,
    await findLatency(now, () => client.send('POST', 'experiments/search', { max_results: 1 }, nothing)),
    await find('permissions', () => tryServer(client, `${TRIAL}-${id}`)),
    await find('clock', async () => {
      const before = now()
      const told = Date.parse((await ask()).headers.get('date') ?? '')
      return Number.isNaN(told)
        ? 'the server does not tell its time'
        : judgeClock(clockSkew(before, told, now(), 1000), 'The clock of MLflow')
    }),
  ]
}

async function judgeVersion(address: string, response: Response): Promise<string | Judgement> {
  const version = (await response.text()).trim()
  if (!response.ok || !/^\d+\.\d+/.test(version))
    return broken(
      `${address} is no MLflow server: it answers ${response.status} to GET /version. Set MLFLOW_TRACKING_URI to one`,
    )
  if (Number.parseInt(version, 10) < OLDEST_MAJOR)
    return broken(`${address}: MLflow ${version}, fd needs ${OLDEST_MAJOR} or later. Run: pip install --upgrade mlflow`)
  return `${address}: MLflow ${version}`
}

async function tryServer(client: MlflowClient, name: string): Promise<string> {
  await tryExperiment(client, name)
  await client.sendOnce('POST', 'registered-models/create', { name }, nothing)
  try {
    await client.get('registered-models/get', { name }, nothing)
  } finally {
    await client.send('DELETE', 'registered-models/delete', { name }, nothing)
  }
  const file = `${name}/trial`
  await client.writeFile(file, Buffer.from(name))
  try {
    const read = Buffer.from(await client.readFile(file)).toString()
    if (read !== name)
      throw new UserError(
        `${client.url} gave back ${JSON.stringify(read.slice(0, 60))} for an artifact that was just written. Look at the server's log.`,
      )
  } finally {
    await client.deleteFile(file)
  }
  return 'made, wrote, read and deleted an experiment, a model and an artifact'
}

/** Others may look at the same server at the same time: the experiment that one of them takes away is opened again. */
async function tryExperiment(client: MlflowClient, value: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      const experiment = await openTrial(client)
      try {
        await client.send(
          'POST',
          'experiments/set-experiment-tag',
          { experiment_id: experiment, key: TRIAL, value },
          nothing,
        )
        await client.get('experiments/get', { experiment_id: experiment }, nothing)
      } finally {
        await client.send('POST', 'experiments/delete', { experiment_id: experiment }, nothing)
      }
      return
    } catch (error) {
      if (tries === TRIES || !(error instanceof MlflowError && TAKEN_AWAY.has(error.code))) throw error
      await sleep(tries * PAUSE_MS)
    }
  }
}

const held = z.object({
  experiment: z.object({ experiment_id: z.string(), lifecycle_stage: z.string().default('active') }),
})

/** The trial's experiment, made or made again. */
async function openTrial(client: MlflowClient): Promise<string> {
  const find = async (): Promise<{ experiment_id: string; lifecycle_stage: string } | undefined> => {
    try {
      return (await client.get('experiments/get-by-name', { experiment_name: TRIAL }, held)).experiment
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }
  const kept = await find()
  if (kept === undefined)
    return (
      await client.sendOnce('POST', 'experiments/create', { name: TRIAL }, z.object({ experiment_id: z.string() }))
    ).experiment_id
  if (kept.lifecycle_stage === 'deleted')
    await client.send('POST', 'experiments/restore', { experiment_id: kept.experiment_id }, nothing)
  return kept.experiment_id
}
