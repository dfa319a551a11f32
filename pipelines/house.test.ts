import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')

/** The floors of the house. A folder imports itself and strictly lower floors; rooms on one floor do not know each other. */
const FLOORS: Record<string, number> = {
  configs: 0,
  datasets: 1,
  features: 2,
  registry: 2,
  training: 3,
  serving: 3,
  pipelines: 4,
  notebooks: 5,
}

/** Libraries that have one home, because a driver or a format is known in one place only. */
const HOMES: Record<string, RegExp> = {
  lmdb: /^(datasets\/log\/lmdb\/|features\/store\/lmdb|configs\/connections\/lmdb)/,
  ioredis: /^(features\/store\/redis\/|configs\/connections\/redis|configs\/testing\/redis-process)/,
  '@duckdb/node-api': /^datasets\/(table\/|lake\/parquet)/,
  'onnxruntime-node': /^registry\/onnx-session|^serving\/model\/|^training\/graph\//,
  '@aws-sdk/lib-storage': /^datasets\/lake\/s3/,
  '@aws-sdk/client-s3': /^(datasets\/lake\/s3|pipelines\/services\/s3)/,
  '@platformatic/kafka': /^datasets\/log\/kafka\//,
  bullmq: /^training\/queue\/bullmq\//,
  'assemblyscript/asc': /^training\/kernel\/build/,
  commander: /^pipelines\//,
  'prom-client': /^serving\/metrics\//,
  '@tensorflow/tfjs-core': /^training\/networks\//,
  '@tensorflow/tfjs-layers': /^training\/networks\/tensorflow/,
  '@tensorflow/tfjs-backend-wasm': /^training\/networks\/tensorflow/,
  'ml-random-forest': /^training\/ensembles\/ml-random-forest/,
}

const folders = Object.keys(FLOORS)
const sources = folders.flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `${folder}/${file}`),
)

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s+['"]([^'"]+)['"]/g
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3])
}

test('every import stays in its folder or goes down', () => {
  const uphill = sources.flatMap((file) => {
    const from = file.split('/')[0]
    return importsOf(file)
      .filter((target) => target.startsWith('.'))
      .map((target) => relative(root, resolve(root, file, '..', target)))
      .filter((target) => target.split('/')[0] !== from && !(FLOORS[target.split('/')[0]] < FLOORS[from]))
      .map((target) => `${file} -> ${target}`)
  })
  expect(sources.length).toBeGreaterThan(0)
  expect(uphill).toEqual([])
})

test('a library with a home is imported at home only', () => {
  const strays = sources
    .filter((file) => !/\.(test|bench|contract)\.ts$/.test(file))
    .flatMap((file) =>
      importsOf(file)
        .filter((name) => HOMES[name] && !HOMES[name].test(file))
        .map((name) => `${file} -> ${name}`),
    )
  expect(strays).toEqual([])
})

test('the environment is read in configs only', () => {
  const readers = sources.filter(
    (file) =>
      !file.startsWith('configs/') &&
      !/\.(test|bench|contract)\.ts$/.test(file) &&
      /process\.env/.test(readFileSync(join(root, file), 'utf8')),
  )
  expect(readers).toEqual([])
})

test('files stay under 300 lines', () => {
  const long = sources
    .filter((file) => !/\.(test|bench|contract)\.ts$/.test(file))
    .filter((file) => readFileSync(join(root, file), 'utf8').split('\n').length > 301)
  expect(long).toEqual([])
})
