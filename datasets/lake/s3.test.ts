import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as httpRequest, type Server } from 'node:http'
import { DeleteObjectsCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, describe, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import type { RecordBatch } from '../log/event-log.ts'
import { openLake } from '../open.ts'
import { batchFrom, lakeContract } from './lake.contract.ts'
import { openBucket, type S3Options } from './s3-bucket.ts'

/** `s3://BUCKET?endpoint=URL`, with a bucket that exists; keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. */
const store = process.env.FD_TEST_S3_URL
const keys: S3Options = {
  accessKeyId: process.env.AWS_ACCESS_KEY_ID,
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
}

/** The store's bucket and endpoint, with everything of this run under one prefix. */
const run = `fd-test-${randomUUID()}`
const { bucket, endpoint } =
  store === undefined
    ? { bucket: '', endpoint: '' }
    : { bucket: new URL(store).host, endpoint: String(new URL(store).searchParams.get('endpoint')) }
const urlOf = (prefix: string, at = endpoint): string => `s3://${bucket}/${run}/${prefix}?endpoint=${at}`

const batchOf = (values: string[]): RecordBatch =>
  batchFrom(
    0,
    values.map((value) => ({ value, timestamp: Date.parse('2018-04-01T12:00:00Z') })),
  )

test.each(['s3://', 's3:///x', 's3://b?key=1', 's3://b?endpoint=here', 's3://b?patience=0'])(
  'URL %j is refused',
  async (url) => {
    await expect(openLake(url)).rejects.toThrow(UserError)
  },
)

test.each([
  's3://KEY:HUSH@b',
  's3://KEY:HU/HUSH@b/prefix',
  's3://KEY:HUSH@',
  's3://b?endpoint=http://u:HUSH@%zz',
  's3://b?endpoint=ftp://u:HUSH@h',
])('URL %j is refused, without its secret', async (url) => {
  await expect(openLake(url)).rejects.toThrow(UserError)
  await expect(openLake(url)).rejects.not.toThrow(/HUSH/)
})

test('an endpoint that is no URL is refused wherever it stands', async () => {
  await expect(openLake('s3://b', { endpoint: 'http://%zz' })).rejects.toThrow(/"http:\/\/%zz".*AWS_ENDPOINT_URL=/)
})

test('what the URL says stands above the options; patience is in the URL alone; an inspection has none', async () => {
  const options = { endpoint: 'http://other:1', region: 'eu-west-1' }
  const url = 's3://b?endpoint=http://u:p@h:1&region=us-west-2&patience=600'
  const attempts = async (bucket: ReturnType<typeof openBucket>): Promise<number> => {
    let calls = 0
    const work = async (): Promise<void> => {
      // Answered at first, then away twice.
      if (calls++ > 0 && calls < 4) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
    }
    await bucket.guard('try it', work)
    await bucket.guard('try it', work)
    return calls
  }
  const bucket = openBucket(url, options)
  expect(bucket.place).toBe('s3://b/ at http://u:***@h:1')
  expect(await bucket.client.config.region()).toBe('us-west-2')
  expect(await attempts(bucket)).toBe(4)
  await expect(attempts(openBucket(url, options, { waits: false }))).rejects.toThrow(
    /cannot be reached \(ECONNREFUSED\)/,
  )
  const elsewhere = openBucket('s3://b', options)
  expect([elsewhere.place, await elsewhere.client.config.region()]).toEqual(['s3://b/ at http://other:1', 'eu-west-1'])
})

test('one key of two is refused', async () => {
  await expect(openLake('s3://b', { accessKeyId: 'a' })).rejects.toThrow(/AWS_SECRET_ACCESS_KEY/)
})

test('a store that never was there is named at once, with what to do', async () => {
  await using lake = await openLake('s3://b?endpoint=http://127.0.0.1:9', { accessKeyId: 'a', secretAccessKey: 'b' })
  await expect(lake.list()).rejects.toThrow(/s3:\/\/b\/ at http:\/\/127\.0\.0\.1:9.*ECONNREFUSED.*fd doctor/)
  await expect(lake.write(batchOf(['v']))).rejects.toThrow(UserError)
})

describe.runIf(store !== undefined)('with an S3 store (FD_TEST_S3_URL)', () => {
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: keys.accessKeyId ?? '', secretAccessKey: keys.secretAccessKey ?? '' },
  })

  afterAll(async () => {
    for (;;) {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: `${run}/` }))
      if (Contents.length === 0) break
      await client.send(
        new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: Contents.map(({ Key }) => ({ Key })) } }),
      )
    }
    client.destroy()
  })

  let lakes = 0
  lakeContract('s3', () => urlOf(`lake-${lakes++}`), keys)

  test('a file of several parts arrives whole', async () => {
    await using lake = await openLake(urlOf('large'), keys)
    // Digits of a seeded Lehmer generator hardly compress: 18 MB of text become two parts of zstd.
    let state = 7
    const values = Array.from({ length: 3000 }, () =>
      Array.from({ length: 1000 }, () => (state = (state * 48_271) % 2_147_483_647).toString(36)).join(''),
    )
    await lake.write(batchOf(values))
    const listed = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: `${run}/large/` }))
    expect(Math.max(...(listed.Contents ?? []).map(({ Size = 0 }) => Size))).toBeGreaterThan(8 * 1024 * 1024)
    const read: string[] = []
    for await (const batch of lake.read('t')) {
      for (let row = 0; row < batch.size; row++) {
        read.push(Buffer.from(batch.bytes.subarray(batch.valueStart[row], batch.valueEnd[row])).toString())
      }
    }
    expect(read).toEqual(values)
  })

  test('a listing has more than one page, and strangers in the folder are no files of the lake', async () => {
    await using lake = await openLake(urlOf('many'), keys)
    const names = Array.from(
      { length: 1005 },
      (_, offset) => `raw/t/date=2018-04-01/partition-0-offset-${offset}.parquet`,
    )
    const left = ['raw/t/date=2018-04-01/notes.txt', ...names].values()
    const put = async (): Promise<void> => {
      for (const name of left)
        await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${run}/many/${name}`, Body: 'x' }))
    }
    await Promise.all(Array.from({ length: 8 }, put))
    expect((await lake.list('t')).map((file) => file.path)).toEqual(names)
    const reading = async (): Promise<void> => {
      for await (const batch of lake.read('t', { to: '2018-04-01' })) expect(batch.size).toBe(0)
    }
    await expect(reading()).rejects.toThrow(/Cannot read topic "t".*partition-0-offset-/)
  })

  test.each([
    [
      'a bucket that is missing',
      () => [`s3://fd-no-such-bucket?endpoint=${endpoint}`, keys],
      /fd-no-such-bucket.*aws s3 mb/,
    ],
    ['a wrong access key', () => [urlOf('x'), { ...keys, accessKeyId: 'nobody' }], /AWS_ACCESS_KEY_ID/],
    ['a wrong secret', () => [urlOf('x'), { ...keys, secretAccessKey: 'wrong' }], /AWS_SECRET_ACCESS_KEY/],
  ] as [string, () => [string, S3Options], RegExp][])('%s is named', async (_, place, message) => {
    await using lake = await openLake(...place())
    for (const call of [lake.list('t'), lake.write(batchOf(['v']))]) {
      await expect(call).rejects.toThrow(UserError)
      await expect(call).rejects.toThrow(message)
    }
  })

  test('a store that is away for a moment, or cuts a download, is asked again', async () => {
    const faults: ((path: string) => boolean)[] = [() => true, () => true]
    await using front = await forwarding(endpoint, (path) => faults.shift()?.(path) === true)
    await using lake = await openLake(urlOf('faults', front.url), keys)
    await lake.write(batchOf(['a', 'b']))
    faults.push(
      (path) => path.includes('list-type'),
      (path) => path.endsWith('.parquet'),
      (path) => path.endsWith('.parquet'),
    )
    let rows = 0
    for await (const batch of lake.read('t')) rows += batch.size
    expect(rows).toBe(2)
    expect(front.cuts()).toBeGreaterThan(2)
  })

  test('a store that was there is waited for as long as the URL says, and that is told', async () => {
    let away = false
    const heard: (string | undefined)[] = []
    await using front = await forwarding(endpoint, () => away)
    await using lake = await openLake(`${urlOf('away', front.url)}&patience=2`, keys, (_line, outage) => {
      heard.push(outage)
      // The first absence ends as soon as it is noticed, the second never.
      if (outage === 'lost' && heard.length === 1) away = false
    })
    await lake.write(batchOf(['a']))
    away = true
    await lake.write(batchOf(['b']))
    expect(heard).toEqual(['lost', 'back'])
    away = true
    await expect(lake.write(batchOf(['c']))).rejects.toThrow(/has been away for 2 s \(\w+\)\. Start it, .*fd doctor/)
    expect(heard).toEqual(['lost', 'back', 'lost'])
  })
})

interface Front extends AsyncDisposable {
  url: string
  cuts: () => number
}

/**
 * A server in front of the store that cuts the connections for which `cut` says so: uploads before it passes them on,
 * downloads in the middle.
 */
async function forwarding(target: string, cut: (path: string) => boolean): Promise<Front> {
  let cuts = 0
  const server: Server = createServer((request, response) => {
    const fails = cut(request.url ?? '')
    if (fails) cuts++
    if (fails && request.method !== 'GET') {
      request.socket.destroy()
      return
    }
    // The request keeps its host header, because the client signed it.
    const { hostname, port } = new URL(target)
    const onward = httpRequest(
      { hostname, port, path: request.url, method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        if (!fails) return answer.pipe(response)
        return answer.once('data', (chunk: Buffer) =>
          response.write(chunk.subarray(0, chunk.length / 2), () => request.socket.destroy()),
        )
      },
    )
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    cuts: () => cuts,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
