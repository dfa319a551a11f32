import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32, deflateRawSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import type { Config } from '../../configs/config.ts'
import { loadConfig } from '../../configs/config.ts'
import { REAL_DATA } from '../../configs/testing/real-data.ts'
import { readTable } from '../table/table.ts'
import { kaggleCcSynthetic, writeKaggleCcSynthetic } from './kaggle-cc-synthetic.ts'
import { COMPONENTS, fetchKaggleCc, kaggleCc } from './kaggle-cc.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-kaggle-'))
afterAll(() => rmSync(folder, { recursive: true }))

let homes = 0
function configOf(extra: Record<string, string> = { KAGGLE_USERNAME: 'ann', KAGGLE_KEY: 'secret' }): Config {
  return loadConfig(undefined, { FD_HOME: join(folder, `home${homes++}`), ...extra })
}

const EXPECTED = { transactions: 2000, frauds: 5 }
const HEADER = ['Time', ...COMPONENTS, 'Amount', 'Class'].map((name) => `"${name}"`).join(',')
const ROWS = Array.from({ length: EXPECTED.transactions }, (_, row) => {
  const components = COMPONENTS.map((_name, index) => (row * 31 + index) / 1000).join(',')
  return `${row},${components},${row % 100}.5,"${row < EXPECTED.frauds ? 1 : 0}"`
})
const CSV = Buffer.from([HEADER, ...ROWS, ''].join('\n'))
const SHA = createHash('sha256').update(CSV).digest('hex')

/**
 * Serves `content` with ranges. `cuts` says after how many bytes each answer in turn is cut off, once the client has
 * reported them.
 */
async function serving<T>(
  content: Buffer,
  cuts: number[],
  use: (baseUrl: string, requests: IncomingMessage[], report: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const requests: IncomingMessage[] = []
  const received = { bytes: 0 }
  const cutOff = async (response: ServerResponse, at: number): Promise<void> => {
    // A busy client loses the bytes that it has not read yet when the connection breaks.
    while (received.bytes < at) await sleep(5)
    response.destroy()
  }
  return listening(
    (request, response) => {
      requests.push(request)
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      if (from >= content.length) return response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
      const part = content.subarray(from)
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': part.length })
      const cut = cuts.shift()
      if (cut === undefined) return response.end(part)
      return response.write(part.subarray(0, cut), () => void cutOff(response, from + cut))
    },
    (baseUrl) => use(baseUrl, requests, (bytes) => void (received.bytes = bytes)),
  )
}

async function listening<T>(
  listener: (request: IncomingMessage, response: ServerResponse) => unknown,
  use: (baseUrl: string) => Promise<T>,
): Promise<T> {
  const server = createServer(listener)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  try {
    return await use(`http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`)
  } finally {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
}

function zipOf(name: string, content: Buffer): Buffer {
  const packed = deflateRawSync(content)
  const local = Buffer.alloc(30)
  local.writeUInt32LE(0x0403_4b50, 0)
  local.writeUInt16LE(8, 8)
  local.writeUInt16LE(name.length, 26)
  local.writeUInt16LE(4, 28)
  const entry = Buffer.alloc(46)
  entry.writeUInt32LE(0x0201_4b50, 0)
  entry.writeUInt16LE(8, 10)
  entry.writeUInt32LE(crc32(content), 16)
  entry.writeUInt32LE(packed.length, 20)
  entry.writeUInt32LE(content.length, 24)
  entry.writeUInt16LE(name.length, 28)
  const before = Buffer.concat([local, Buffer.from(name), Buffer.alloc(4), packed])
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x0605_4b50, 0)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(entry.length + name.length, 12)
  end.writeUInt32LE(before.length, 16)
  return Buffer.concat([before, entry, Buffer.from(name), end])
}

test('a download cut off twice continues where it stopped, asks with the user’s key, and is checked', async () => {
  const config = configOf()
  const reports: [number, number | undefined][] = []
  await serving(CSV, [100_000, 50_000], async (baseUrl, requests, report) => {
    const told = (bytes: number, total: number | undefined): void => {
      reports.push([bytes, total])
      report(bytes)
    }
    const fetched = await fetchKaggleCc(config, told, { baseUrl, expected: EXPECTED })
    expect(fetched).toEqual({ file: join(config.home, 'datasets', 'creditcard.csv'), sha256: SHA })
    expect(requests.map((request) => request.headers.range)).toEqual([undefined, 'bytes=100000-', 'bytes=150000-'])
    expect(requests[0].url).toBe('/api/v1/datasets/download/mlg-ulb/creditcardfraud/creditcard.csv')
    expect(requests[0].headers.authorization).toBe(`Basic ${Buffer.from('ann:secret').toString('base64')}`)
  })
  expect(reports.at(-1)).toEqual([CSV.length, CSV.length])
  expect(reports.every(([bytes], index) => index === 0 || bytes > reports[index - 1][0])).toBe(true)
  expect(readdirSync(join(config.home, 'datasets'))).toEqual(['creditcard.csv'])
  expect(kaggleCc(config).file).toBe(join(config.home, 'datasets', 'creditcard.csv'))
  // No server answers any more: the file is there already.
  expect((await fetchKaggleCc(config, () => undefined, { baseUrl: 'http://127.0.0.1:1' })).sha256).toBe(SHA)
})

test('another run continues what an earlier one left, also when only the end was missed', async () => {
  for (const left of [CSV.subarray(0, 70_000), CSV]) {
    const config = configOf()
    mkdirSync(join(config.home, 'datasets'), { recursive: true })
    writeFileSync(join(config.home, 'datasets', 'creditcard.csv.partial'), left)
    await serving(CSV, [], async (baseUrl, requests) => {
      expect((await fetchKaggleCc(config, () => undefined, { baseUrl, expected: EXPECTED })).sha256).toBe(SHA)
      expect(requests.map((request) => request.headers.range)).toEqual([`bytes=${left.length}-`])
    })
  }
})

test('a zip is unpacked', async () => {
  const config = configOf()
  await serving(zipOf('creditcard.csv', CSV), [5000], async (baseUrl, _requests, report) => {
    expect((await fetchKaggleCc(config, report, { baseUrl, expected: EXPECTED })).sha256).toBe(SHA)
  })
  expect(readFileSync(join(config.home, 'datasets', 'creditcard.csv')).equals(CSV)).toBe(true)
  expect(readdirSync(join(config.home, 'datasets'))).toEqual(['creditcard.csv'])
})

test('other content than promised is deleted and named', async () => {
  for (const [content, message] of [
    [CSV, /has 2000 rows and 5 frauds, not 284807 and 492\.\nWhat was downloaded is deleted/],
    [Buffer.from('<html>Sign in</html>\n'), /is a web page, perhaps one that asks to sign in/],
    [zipOf('a', CSV).subarray(0, 3000), /is cut short or damaged: its directory, which/],
  ] as const) {
    const config = configOf()
    await serving(content, [], async (baseUrl) => {
      await expect(fetchKaggleCc(config, () => undefined, { baseUrl })).rejects.toThrow(message)
    })
    expect(readdirSync(join(config.home, 'datasets'))).toEqual([])
  }
})

test.each([
  [401, /does not accept KAGGLE_USERNAME and KAGGLE_KEY/],
  [403, /Accept the terms at/],
  [503, /answered 503 .*Run again later/],
])('an answer of %i says what to do', async (status, message) => {
  await listening(
    (_request, response) => response.writeHead(status).end(),
    async (baseUrl) => {
      await expect(fetchKaggleCc(configOf(), () => undefined, { baseUrl })).rejects.toThrow(message)
    },
  )
})

test('no server, no progress, no credentials: the user’s error', async () => {
  await expect(fetchKaggleCc(configOf(), () => undefined, { baseUrl: 'http://127.0.0.1:1' })).rejects.toThrow(
    /stopped after 0 bytes: .*\nRun again to continue/,
  )
  const config = configOf()
  await serving(CSV, [1000, 0], async (baseUrl, _requests, report) => {
    await expect(fetchKaggleCc(config, report, { baseUrl })).rejects.toThrow(/stopped after 1000 bytes/)
  })
  expect(readdirSync(join(config.home, 'datasets'))).toEqual(['creditcard.csv.partial'])
  await expect(fetchKaggleCc(configOf({}), () => undefined)).rejects.toThrow(/KAGGLE_USERNAME and KAGGLE_KEY/)
})

test('without a file all ways to one are named', () => {
  const config = configOf()
  expect(() => kaggleCc(config)).toThrow(
    /--data creditcard\.csv[^]*datasets\.kaggle-cc\.path[^]*fd datasets fetch kaggle-cc[^]*kaggle-cc-synthetic/,
  )
  expect(() => kaggleCc(config, join(folder, 'none.csv'))).toThrow(/There is no file .*none\.csv/)
})

test('the stand-in has two days in order, its frauds, and frauds that lie where they should', async () => {
  const file = join(folder, 'small.parquet')
  const counts = { transactions: 20_000, frauds: 400 }
  await writeKaggleCcSynthetic(file, counts)
  const dataset = kaggleCcSynthetic(configOf(), file)
  let frauds = 0
  const fraudMeans = COMPONENTS.map(() => 0)
  for await (const batch of dataset.batches()) {
    for (let row = 0; row < batch.size; row++) {
      if (batch.label[row] === 0) continue
      frauds++
      for (const [index, column] of batch.numeric.entries()) fraudMeans[index] += column[row] / counts.frauds
    }
  }
  expect([await dataset.count(), frauds]).toEqual([counts.transactions, counts.frauds])
  const order = COMPONENTS.toSorted(
    (a, b) => Math.abs(fraudMeans[COMPONENTS.indexOf(b)]) - Math.abs(fraudMeans[COMPONENTS.indexOf(a)]),
  )
  expect(order.slice(0, 6).toSorted()).toEqual(['V10', 'V12', 'V14', 'V17', 'V3', 'V7'])
  const again = join(folder, 'again.parquet')
  await writeKaggleCcSynthetic(again, counts)
  expect(await kaggleCcSynthetic(configOf(), again).digest()).toBe(await dataset.digest())
})

test('the stand-in is made on first reading, in full', async () => {
  const dataset = kaggleCcSynthetic(configOf())
  expect(existsSync(dataset.file)).toBe(false)
  expect(await dataset.count()).toBe(284_807)
  let [frauds, lastTime] = [0, 0]
  for await (const batch of dataset.batches()) {
    frauds += batch.label.subarray(0, batch.size).reduce((sum, label) => sum + label, 0)
    lastTime = batch.time[batch.size - 1]
  }
  expect(frauds).toBe(492)
  expect(lastTime).toBeLessThanOrEqual(Date.UTC(2013, 8, 1) + 172_792_000)
})

const real = join(REAL_DATA, 'kaggle-cc-real.csv')
test.runIf(existsSync(real))('genuine rows in the original’s form (runs where ../shared/data stands)', async () => {
  const dataset = kaggleCc(configOf(), real)
  let [rows, frauds] = [0, 0]
  let first: unknown
  for await (const batch of readTable(real, dataset.schema)) {
    if (rows === 0) {
      const attributes = [batch.numeric[0][0], batch.numeric[27][0]]
      first = [batch.ids[0], batch.time[0], batch.amount[0], ...attributes, batch.knownAt[0]]
    }
    frauds += batch.label.subarray(0, batch.size).reduce((sum, label) => sum + label, 0)
    rows += batch.size
  }
  expect([rows, frauds]).toEqual([42_494, 473])
  expect(first).toEqual([0, Date.UTC(2013, 8, 1), 14_962, -1.3598071336738, -0.0210530534538215, Date.UTC(2013, 8, 1)])
})
