import { tmpdir } from 'node:os'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { formerCategoryCode } from '../../features/view/category.ts'
import { openOnnxModel } from '../../serving/model/onnx-model.ts'
import { trainCandidate } from '../../training/candidate.ts'
import { estimatorNames, findEstimator } from '../../training/catalog.ts'
import { attribute, encodeGraph } from '../../training/graph/proto.ts'
import { categoryNames, onnxScores } from '../../training/graph/scores.ts'
import { plantedSet } from '../../training/testing/planted-set.ts'
import { runFd } from '../console/fd-process.ts'
import { program } from '../program.ts'
import { trainCommand } from './train.ts'

const set = plantedSet({ rows: 1200, features: 4, frauds: 120, missing: 0.1, categories: 6 }, 1)
const FEW: Record<string, Record<string, number>> = {
  boosting: { rounds: 5 },
  neural: { epochs: 2 },
  autoencoder: { epochs: 2 },
}

test.each(
  estimatorNames().flatMap((name) =>
    [undefined, 'isotonic' as const, 'platt' as const].map((method) => ({ name, method })),
  ),
)('the scorer serves $name, calibrated by $method, alike in every batch', async ({ name, method }) => {
  const request = {
    estimator: name,
    params: FEW[name] ?? { trees: 5 },
    split: { kind: 'ordered', trainShare: 0.6 },
    seed: 1,
    alertsPerDay: 20,
    ...(method && { calibration: { method, share: 0.4 } }),
  } as const
  const { onnx, holdout, signature } = await trainCandidate(set, request, () => true)
  await using model = await openOnnxModel(onnx, name, {
    input: signature.input.name,
    output: signature.outputs[0].name,
    width: 5,
    categorical: [4],
    categories: signature.categories?.name,
  })
  const first = holdout.rows[0]
  for (const rows of [1, 7, 256]) {
    const numbers = set.x.slice(first * 5, (first + rows) * 5)
    const categories = categoryNames(numbers, 5, set.categorical)
    expect(await model.score({ rows, numbers, categories })).toEqual(holdout.scores.slice(0, rows))
  }
})

/** A graph as earlier versions wrote it: the code of a category stands among the features and looks up its rank. */
function earlierGraph(): Uint8Array {
  return encodeGraph({
    name: 'score',
    inputs: [{ name: 'features', type: 'float', width: 2 }],
    output: { name: 'score' },
    constants: [{ name: 'column', type: 'int64', values: [1] }],
    nodes: [
      {
        opType: 'Gather',
        input: ['features', 'column'],
        output: ['code'],
        attribute: [attribute.int('axis', 1)],
      },
      {
        opType: 'LabelEncoder',
        domain: 'ai.onnx.ml',
        input: ['code'],
        output: ['score'],
        attribute: [
          attribute.floats('keys_floats', ['CH', 'é', ''].map(formerCategoryCode)),
          attribute.floats('values_floats', [0.25, 0.5, 0.75]),
          attribute.float('default_float', 0.125),
        ],
      },
    ],
    metadata: {},
  })
}

test('a graph of an earlier version scores as it did, in training and in the scorer', async () => {
  const categorical = [{ feature: 1, names: ['é', 'CH', 'FR'] }]
  const x = Float32Array.of(0, 1, 0, 0, 0, Number.NaN, 0, 2)
  const scores = [0.25, 0.5, 0.75, 0.125]
  expect([...(await onnxScores(earlierGraph(), x, 2, categorical))]).toEqual(scores)
  await using model = await openOnnxModel(earlierGraph(), 'an earlier model', {
    input: 'features',
    output: 'score',
    width: 2,
    categorical: [1],
  })
  const numbers = new Float32Array(x.length)
  expect([...(await model.score({ rows: 4, numbers, categories: categoryNames(x, 2, categorical) }))]).toEqual(scores)
})

test('the help of fd train names every estimator', () => {
  const help = trainCommand().helpInformation().replaceAll(/\s+/g, ' ')
  for (const name of estimatorNames()) expect(help).toContain(name)
  expect(help).toContain('--calibrate <method>')
})

test('a default is shown as one would type it, an instant as a date', () => {
  const help = (command: Command): string =>
    [command.helpInformation(), ...command.commands.map((sub) => help(sub))].join('\n')
  expect(help(program())).toContain('first day (default: 2018-04-01)')
  expect(help(program())).not.toMatch(/default: \d{13}/)
})

test('fd estimators lists every parameter with its default, range and meaning, as text and as JSON', async () => {
  const [text, json] = await Promise.all([runFd(tmpdir(), ['estimators']), runFd(tmpdir(), ['estimators', '--json'])])
  const listed = JSON.parse(json.stdout) as { name: string; parameters: object[] }[]
  expect(listed.map(({ name }) => name)).toEqual(estimatorNames())
  for (const { name, parameters } of listed) {
    expect(parameters).toEqual(findEstimator(name).parameters)
    const lines = text.stdout.split('\n')
    for (const { name: parameter, range, description } of findEstimator(name).parameters)
      expect(
        lines.some(
          (line) =>
            line.startsWith(`${parameter} `) && line.includes(`  ${range}  `) && line.endsWith(`  ${description}`),
        ),
      ).toBe(true)
  }
})

test('one that is not there is named, with those that are', async () => {
  const { code, stderr } = await runFd(tmpdir(), ['estimators', 'svm'])
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: `No estimator "svm". Use --model ${estimatorNames().join(' or --model ')}.\n`,
  })
})
