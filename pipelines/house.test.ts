import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')

/**
 * The floors of the house. A folder imports itself and strictly lower floors. Folders on one floor do not know each
 * other.
 */
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

/**
 * The floors inside each folder, from the ground up. A room imports itself and strictly lower floors of its folder.
 * Rooms in one row do not know each other. `.` stands for the files that lie in no room. A file that is named has a
 * floor of its own.
 */
const ROOMS: Record<string, string[][]> = {
  configs: [['.'], ['connections', 'process'], ['testing']],
  datasets: [
    ['random', 'file'],
    ['table'],
    ['described', 'order', 'simulator', 'profile', 'guess', 'frame'],
    ['published'],
    ['log'],
    ['log/lmdb', 'log/kafka'],
    ['lake'],
    ['testing'],
    ['catalog.ts', 'open.ts'],
  ],
  features: [
    ['expression'],
    ['view'],
    ['definition', 'window'],
    ['fold'],
    ['store'],
    ['store/redis'],
    ['chain'],
    ['backfill'],
    ['join', 'parity'],
    ['testing'],
    ['asked-keys.ts'],
    ['catalog.ts', 'online.ts', 'open.ts'],
  ],
  registry: [['.'], ['promotion'], ['sqlite', 'mlflow'], ['open.ts'], ['testing']],
  training: [
    ['kernel', 'graph'],
    ['fit'],
    ['metrics'],
    ['trees'],
    ['growing'],
    ['ensembles', 'networks'],
    ['calibration'],
    ['queue'],
    ['queue/shared'],
    ['queue/bullmq'],
    ['ownership'],
    ['.'],
    ['testing'],
  ],
  serving: [['.'], ['model'], ['audit', 'scorer', 'offline'], ['metrics'], ['testing']],
  pipelines: [
    ['console'],
    ['services'],
    ['doctor', 'jobs', 'init'],
    ['commands/batch', 'commands/definitions'],
    ['commands'],
    ['demo'],
    ['program.ts'],
    ['fd.ts'],
    ['bench'],
    ['contest'],
    ['testing/training'],
    ['testing'],
    ['testing/projects'],
    ['mutation'],
    ['soak'],
  ],
  notebooks: [['.']],
}

/** Ports, the rooms and files of their drivers, and the door that picks one by URL. */
const PORTS: { port: string; drivers: RegExp; door: string }[] = [
  { port: 'datasets/log/event-log.ts', drivers: /^datasets\/log\/(lmdb|kafka)\//, door: 'datasets/open.ts' },
  { port: 'datasets/lake/lake.ts', drivers: /^datasets\/lake\/(folder|s3)/, door: 'datasets/open.ts' },
  { port: 'features/store/online-store.ts', drivers: /^features\/store\/(lmdb|redis\/)/, door: 'features/open.ts' },
  { port: 'registry/registry.ts', drivers: /^registry\/(sqlite|mlflow)\//, door: 'registry/open.ts' },
  { port: 'training/queue/job-queue.ts', drivers: /^training\/queue\/(local|bullmq\/)/, door: 'training/open.ts' },
]

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
  '@marcbachmann/cel-js': /^features\/expression\//,
  commander: /^pipelines\//,
  'prom-client': /^serving\/metrics\//,
  '@tensorflow/tfjs-core': /^training\/networks\//,
  '@tensorflow/tfjs-layers': /^training\/networks\/tensorflow/,
  '@tensorflow/tfjs-backend-wasm': /^training\/networks\/tensorflow/,
  'ml-random-forest': /^training\/ensembles\/ml-random-forest/,
}

const MOST_FILES_OF_A_ROOM = 30
const MOST_LINES_OF_A_FILE = 300
const MOST_LINES_OF_A_README = 30
/** A folder of more rooms has a README that says what they are for. */
const ROOMS_WITHOUT_README = 3

/** What stands behind `import` and `export … from`, types included, and the modules that threads are started with. */
const IMPORTS = [
  /(?:^|\n)\s*(?:import|export)\s[^'";]*?from\s+'([^']+)'/g,
  /(?:^|\n)import\s+'([^']+)'/g,
  /import\(\s*'([^']+)'\s*\)/g,
  /new URL\(\s*'(\.[^']+\.ts)'/g,
]

const files = Object.keys(FLOORS).flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
)
const sources = files.filter((file) => file.endsWith('.ts'))
/** What runs for users: without tests, contracts and benchmarks, which may look at everything below their folder. */
const code = sources.filter((file) => !/\.(test|contract|bench)\.ts$/.test(file))
const texts = new Map(sources.map((file) => [file, readFileSync(join(root, file), 'utf8')]))
const imports = new Map(sources.map((file) => [file, importsOf(file)]))

/** Names of packages, and files of the project by their path. */
function importsOf(file: string): string[] {
  const text = texts.get(file) ?? ''
  return IMPORTS.flatMap((form) => [...text.matchAll(form)])
    .map((match) => match[1])
    .map((target) => (target.startsWith('.') ? relative(root, resolve(root, dirname(file), target)) : target))
}

/** The project files that a file imports. */
function neighbours(file: string): string[] {
  return (imports.get(file) ?? []).filter((target) => texts.has(target))
}

function folderOf(file: string): string {
  return file.split('/')[0]
}

/** The room of a file as `ROOMS` writes it: `log/kafka`, `.`, or the file itself where that has a floor of its own. */
function roomOf(file: string): string {
  const [folder, ...rest] = file.split('/')
  if (rest.length > 1) return rest.slice(0, -1).join('/')
  return ROOMS[folder].flat().includes(rest[0]) ? rest[0] : '.'
}

function floorInside(file: string): number {
  return ROOMS[folderOf(file)].findIndex((floor) => floor.includes(roomOf(file)))
}

/** Groups of files that import each other in a circle (Tarjan 1972), each from its first file on. */
function circles(graph: readonly string[]): string[][] {
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const path: string[] = []
  const found: string[][] = []
  const visit = (file: string): number => {
    index.set(file, index.size)
    let lowest = index.size - 1
    path.push(file)
    for (const next of neighbours(file)) {
      if (!index.has(next)) lowest = Math.min(lowest, visit(next))
      else if (path.includes(next)) lowest = Math.min(lowest, index.get(next) ?? lowest)
    }
    low.set(file, lowest)
    if (lowest === index.get(file)) {
      const circle = path.splice(path.indexOf(file))
      if (circle.length > 1) found.push(circle)
    }
    return lowest
  }
  for (const file of graph) if (!index.has(file)) visit(file)
  return found
}

test('every import stays in its folder or goes down', () => {
  const uphill = sources.flatMap((file) =>
    neighbours(file)
      .filter((target) => folderOf(target) !== folderOf(file) && !(FLOORS[folderOf(target)] < FLOORS[folderOf(file)]))
      .map((target) => `${file} -> ${target}`),
  )
  expect(sources.length).toBeGreaterThan(0)
  expect(uphill).toEqual([])
})

test('every room has a floor, and imports its own files and lower floors of its folder only', () => {
  expect(code.filter((file) => floorInside(file) === -1)).toEqual([])
  const uphill = code.flatMap((file) =>
    neighbours(file)
      .filter((target) => folderOf(target) === folderOf(file) && roomOf(target) !== roomOf(file))
      .filter((target) => !(floorInside(target) < floorInside(file)))
      .map((target) => `${file} -> ${target}`),
  )
  expect(uphill).toEqual([])
})

test('no files import each other in a circle, types included', () => {
  expect(code.flatMap(neighbours).length).toBeGreaterThan(code.length)
  expect(circles(code)).toEqual([])
})

test('a port imports none of its drivers; its door knows them all', () => {
  for (const { port, drivers, door } of PORTS) {
    expect(neighbours(port).filter((target) => drivers.test(target))).toEqual([])
    expect(neighbours(door).filter((target) => drivers.test(target)).length).toBeGreaterThan(1)
  }
})

test('a library with a home is imported at home only', () => {
  const strays = code.flatMap((file) =>
    (imports.get(file) ?? [])
      .filter((name) => HOMES[name] && !HOMES[name].test(file))
      .map((name) => `${file} -> ${name}`),
  )
  expect(strays).toEqual([])
})

test('the environment is read in configs only', () => {
  const readers = code.filter((file) => !file.startsWith('configs/') && texts.get(file)?.includes('process.env'))
  expect(readers).toEqual([])
})

test('files stay under 300 lines and rooms under 30 files', () => {
  const lines = (file: string): number => (texts.get(file) ?? '').split('\n').length - 1
  expect(code.filter((file) => lines(file) > MOST_LINES_OF_A_FILE)).toEqual([])
  const rooms = Map.groupBy(
    files.filter((file) => /\.(ts|as|mjs|py)$/.test(file)),
    dirname,
  )
  expect([...rooms].filter(([, inside]) => inside.length > MOST_FILES_OF_A_ROOM).map(([room]) => room)).toEqual([])
})

test('a folder of more than three rooms says in a README of at most 30 lines what they are for', () => {
  for (const [folder, floors] of Object.entries(ROOMS)) {
    const rooms = floors.flat().filter((room) => room !== '.' && !room.endsWith('.ts'))
    if (rooms.length <= ROOMS_WITHOUT_README) continue
    const path = join(root, folder, 'README.md')
    expect(existsSync(path), path).toBe(true)
    const readme = readFileSync(path, 'utf8')
    expect(readme.trimEnd().split('\n').length, path).toBeLessThanOrEqual(MOST_LINES_OF_A_README)
    expect(
      rooms.filter((room) => !readme.includes(`\`${room}`)),
      path,
    ).toEqual([])
  }
})
