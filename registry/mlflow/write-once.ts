import { nothing, type MlflowClient } from './client.ts'
import { isMissing, MlflowError } from './fault.ts'
import { getRun, ofRun } from './runs.ts'

/**
 * Writes a param of a run, which MLflow never writes twice. So of several who write one key, one wins.
 *
 * @returns false when the param has another value.
 */
export async function writeOnce(client: MlflowClient, runId: string, key: string, value: string): Promise<boolean> {
  try {
    const body = { run_id: runId, key, value }
    await ofRun(runId, client.send('POST', 'runs/log-parameter', body, nothing))
    return true
  } catch (error) {
    if (!(error instanceof MlflowError) || isMissing(error)) throw error
    const written = await paramOf(client, runId, key)
    if (written === undefined) throw error
    return written === value
  }
}

/** The value of a param, undefined when it was not written. */
export async function paramOf(client: MlflowClient, runId: string, key: string): Promise<string | undefined> {
  const { params } = await getRun(client, runId)
  return Object.hasOwn(params, key) ? params[key] : undefined
}
