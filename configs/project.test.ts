import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { DATASET_FOLDER, loadConfig } from './config.ts'
import { findProject, requireProject } from './project.ts'

function project(yaml: string): string {
  const root = mkdtempSync(join(tmpdir(), 'fd-project-'))
  writeFileSync(join(root, 'fd.yaml'), yaml)
  return root
}

test('a project is found from any folder in it', () => {
  const root = project('')
  const inner = join(root, 'features', 'shared')
  mkdirSync(inner, { recursive: true })
  expect([root, inner].map(findProject)).toEqual([root, root])
  const nested = join(root, 'nested')
  mkdirSync(nested)
  writeFileSync(join(nested, 'fd.yaml'), '')
  expect(findProject(nested)).toBe(nested)
  expect(requireProject(nested)).toBe(nested)
  expect(() => requireProject(inner)).toThrow(/There is no project in .*: it has no fd.yaml. Make one: fd init/)
})

test('an empty file is a configuration: everything lies in the project', () => {
  const root = project('')
  const config = loadConfig(undefined, { FD_PROJECT: root })
  expect(config).toMatchObject({
    project: root,
    home: join(root, '.fd'),
    datasetFolder: join(root, 'datasets'),
    featureFolder: join(root, 'features'),
    eventLog: `lmdb:${join(root, '.fd', 'log')}`,
    lake: `file:${join(root, '.fd', 'lake')}`,
  })
  for (const env of [{}, { FD_PROJECT: '' }]) {
    const without = loadConfig(undefined, env)
    expect([without.project, without.featureFolder, without.datasetFolder]).toEqual([
      undefined,
      undefined,
      DATASET_FOLDER,
    ])
  }
})

test('paths of its file are relative to the project, those of the environment to the working directory', () => {
  const root = project(
    'home: state\ndatasetFolder: tables\nlake: "file:lake"\nregistry: "sqlite:/srv/registry"\n' +
      'eventLog: kafka://broker:9092\ndatasets: { shop: { path: data/shop.csv } }\nscorer: { partitions: 3 }\n',
  )
  expect(loadConfig(undefined, { FD_PROJECT: root })).toMatchObject({
    home: join(root, 'state'),
    datasetFolder: join(root, 'tables'),
    featureFolder: join(root, 'features'),
    lake: `file:${join(root, 'lake')}`,
    registry: 'sqlite:/srv/registry',
    eventLog: 'kafka://broker:9092',
    onlineStore: `lmdb:${join(root, 'state', 'online')}`,
    datasets: { shop: { path: join(root, 'data/shop.csv') } },
    scorer: { partitions: 3 },
  })
  expect(loadConfig(undefined, { FD_PROJECT: root, FD_HOME: 'other' }).home).toBe(resolve('other'))
})

test('the keys of --config stand above those of the project', () => {
  const root = project('scorer: { partitions: 3 }\nheartbeatMs: 1000\n')
  const other = join(root, 'servers.yaml')
  writeFileSync(other, 'heartbeatMs: 2000\n')
  const config = loadConfig(other, { FD_PROJECT: root })
  expect([config.heartbeatMs, config.scorer.partitions, config.home]).toEqual([2000, 3, join(root, '.fd')])
})

test('a fault in the file of the project names it', () => {
  const root = project('sorer: {}\n')
  expect(() => loadConfig(undefined, { FD_PROJECT: root })).toThrow(join(root, 'fd.yaml'))
  expect(() => loadConfig(undefined, { FD_PROJECT: project('- a\n') })).toThrow(/fd.yaml holds \["a"\], not keys/)
  expect(() => loadConfig(undefined, { FD_PROJECT: '/none' })).toThrow(/There is no project in \/none/)
})
