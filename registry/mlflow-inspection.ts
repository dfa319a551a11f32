import { z } from 'zod'
import { clockSkew, judgeClock } from '../configs/clock-skew.ts'
import { broken, find, findLatency, type Finding, type Inspection, type Judgement } from '../configs/finding.ts'
import { UserError } from '../configs/user-error.ts'
import { isMissing, mlflowClient, nothing, type MlflowClient } from './mlflow-client.ts'
import { authorization, type MlflowCredentials } from './mlflow-credentials.ts'

const OLDEST_MAJOR = 3
/** Deleted experiments keep their name and row until `mlflow gc`, so the trial has one, which is made again each time. */
const TRIAL = 'fd-doctor'
const ANSWER_WITHIN_MS = 10_000

/**
 * Looks at a tracking server as the registry will use it: version, latency, and whether this user may keep experiments, models
 * and artifacts, tried on some of its own, which are removed; and the server's clock.
 */
export async function inspectMlflow(url: string, credentials: MlflowCredentials, { now, id }: Inspection): Promise<Finding[]> {
  const client = mlflowClient(url, credentials, 0)
  const { server: address, header } = authorization(url, credentials)
  const ask = (): Promise<Response> =>
    fetch(`${address}/version`, { headers: { connection: 'close', ...(header === undefined ? {} : { authorization: header }) }, redirect: 'manual', signal: AbortSignal.timeout(ANSWER_WITHIN_MS) })
  const server = await find('server', async () => {
    // First through the client, whose errors say what is wrong with address and credentials.
    await client.send('POST', 'experiments/search', { max_results: 1 }, nothing)
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
      return Number.isNaN(told) ? 'the server does not tell its time' : judgeClock(clockSkew(before, told, now(), 1000), 'The clock of MLflow')
    }),
  ]
}

async function judgeVersion(address: string, response: Response): Promise<string | Judgement> {
  const version = (await response.text()).trim()
  if (!response.ok || !/^\d+\.\d+/.test(version)) return broken(`${address} is no MLflow server: it answers ${response.status} to GET /version. Set MLFLOW_TRACKING_URI to one`)
  if (Number.parseInt(version, 10) < OLDEST_MAJOR) return broken(`${address}: MLflow ${version}, fd needs ${OLDEST_MAJOR} or later. Run: pip install --upgrade mlflow`)
  return `${address}: MLflow ${version}`
}

async function tryServer(client: MlflowClient, name: string): Promise<string> {
  const experiment = await openTrial(client)
  try {
    await client.send('POST', 'experiments/set-experiment-tag', { experiment_id: experiment, key: TRIAL, value: name }, nothing)
    await client.get('experiments/get', { experiment_id: experiment }, nothing)
  } finally {
    await client.send('POST', 'experiments/delete', { experiment_id: experiment }, nothing)
  }
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
    if (read !== name) throw new UserError(`${client.url} gave back ${JSON.stringify(read.slice(0, 60))} for an artifact that was just written. Look at the server's log.`)
  } finally {
    await client.deleteFile(file)
  }
  return 'made, wrote, read and deleted an experiment, a model and an artifact'
}

const held = z.object({ experiment: z.object({ experiment_id: z.string(), lifecycle_stage: z.string().default('active') }) })

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
  if (kept === undefined) return (await client.sendOnce('POST', 'experiments/create', { name: TRIAL }, z.object({ experiment_id: z.string() }))).experiment_id
  if (kept.lifecycle_stage === 'deleted') await client.send('POST', 'experiments/restore', { experiment_id: kept.experiment_id }, nothing)
  return kept.experiment_id
}
