import { describe, expect, test } from 'vitest'
import { registryContract } from './registry.contract.ts'

const server = process.env.FD_TEST_MLFLOW_URL

/** A call of the REST API as any other client makes it. */
async function rest(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const init = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(`${server}/api/2.0/mlflow/${path}`, { method, ...init })
  return (await response.json()) as Record<string, unknown>
}

/** Deletes the models and experiments whose names end so, as far as the API can: deleted experiments and runs stay until `mlflow gc`. */
async function cleanUp(suffix: string): Promise<void> {
  const filter = encodeURIComponent(`name LIKE '%${suffix}'`)
  const { registered_models: models = [] } = (await rest('GET', `registered-models/search?max_results=100&filter=${filter}`)) as { registered_models?: { name: string }[] }
  for (const { name } of models) await rest('DELETE', 'registered-models/delete', { name })
  const { experiments = [] } = (await rest('POST', 'experiments/search', { max_results: 100, filter: `name LIKE '%${suffix}%'` })) as { experiments?: { experiment_id: string }[] }
  for (const { experiment_id: id } of experiments) await rest('POST', 'experiments/delete', { experiment_id: id })
}

describe.runIf(server !== undefined)('with an MLflow server (FD_TEST_MLFLOW_URL)', () => {
  registryContract('mlflow', async () => String(server), { shared: { cleanUp }, infinities: 'clamped' })
})

test('placeholder', () => expect(1).toBe(1))
