import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { logOnnxModel, mlModel } from './ml-model.ts'
import type { Signature } from './model-card.ts'
import { openRegistry } from './open.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-ml-model-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const signature: Signature = {
  features: ['tx_amount', "odd: 'name' #1"],
  input: { name: 'features', dtype: 'float32', shape: [-1, 2] },
  outputs: [{ name: 'score', dtype: 'float32', shape: [-1] }],
}

test('MLmodel has the flavors MLflow loads by, and a signature of JSON texts', () => {
  const text = mlModel({
    runId: 'a'.repeat(32),
    artifactPath: 'model',
    signature,
    size: 9,
    createdAt: 1_700_000_000_123,
  })
  const model = parse(text) as Record<string, unknown>
  expect(model.flavors).toMatchObject({
    onnx: { data: 'model.onnx' },
    python_function: { loader_module: 'mlflow.onnx', data: 'model.onnx' },
  })
  expect(model).not.toHaveProperty('model_id')
  const { inputs, outputs, params } = model.signature as Record<string, string | null>
  expect(inputs).toBe('[{"name":"features","type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,2]}}]')
  expect(outputs).toBe('[{"name":"score","type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1]}}]')
  expect(params).toBeNull()
  expect(model).toMatchObject({
    utc_time_created: '2023-11-14 22:13:20.123',
    metadata: { fd: { features: signature.features } },
  })
})

test('a logged model is a folder that a version can be made of, and logging it again changes nothing', async () => {
  await using registry = await openRegistry(`sqlite:${folder}`, { now: () => 1 })
  const { runId } = await registry.createRun('0')
  const onnx = Buffer.from('graph')
  const source = await logOnnxModel(registry, runId, { onnx, signature, now: 5 })
  expect(await logOnnxModel(registry, runId, { onnx, signature, now: 5 })).toBe(source)
  expect((await registry.listArtifacts(runId, 'model')).map(({ path }) => path)).toEqual([
    'model/MLmodel',
    'model/model.onnx',
    'model/python_env.yaml',
    'model/requirements.txt',
  ])
  await registry.createRegisteredModel('m')
  await registry.createModelVersion({ name: 'm', source })
  expect(Buffer.compare(await registry.downloadModelArtifact('m', 1, 'model.onnx'), onnx)).toBe(0)
})
