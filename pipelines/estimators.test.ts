import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { estimatorNames, findEstimator } from '../training/catalog.ts'
import { runFd } from './fd-process.ts'
import { trainCommand } from './train.ts'

test('the help of fd train names every estimator', () => {
  const help = trainCommand().helpInformation().replaceAll(/\s+/g, ' ')
  for (const name of estimatorNames()) expect(help).toContain(name)
  expect(help).toContain('--calibrate <method>')
})

test('fd estimators lists every parameter with its default and meaning, as text and as JSON', async () => {
  const [text, json] = await Promise.all([runFd(tmpdir(), ['estimators']), runFd(tmpdir(), ['estimators', '--json'])])
  const listed = JSON.parse(json.stdout) as { name: string; parameters: object[] }[]
  expect(listed.map(({ name }) => name)).toEqual(estimatorNames())
  for (const { name, parameters } of listed) {
    expect(parameters).toEqual(findEstimator(name).parameters)
    const lines = text.stdout.split('\n')
    for (const { name: parameter, description } of findEstimator(name).parameters) expect(lines.some((line) => line.startsWith(`${parameter} `) && line.endsWith(`  ${description}`))).toBe(true)
  }
})

test('one that is not there is named, with those that are', async () => {
  const { code, stderr } = await runFd(tmpdir(), ['estimators', 'svm'])
  expect({ code, stderr }).toEqual({ code: 2, stderr: `No estimator "svm". Use --model ${estimatorNames().join(' or --model ')}.\n` })
})
