import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { z } from 'zod'
import { clockSkew, judgeClock } from '../../configs/clock-skew.ts'
import { find, findLatency, type Finding, type Inspection } from '../../configs/finding.ts'
import { UserError } from '../../configs/user-error.ts'
import { openBucket, type Bucket, type S3Options } from './s3-bucket.ts'

/**
 * Looks at a bucket as the lake will use it: whether it exists, how fast it answers, and the store's clock. It also
 * tries whether these keys may write, read, list and delete, on an object below the lake's prefix, which it removes.
 */
export async function inspectS3(url: string, options: S3Options, { now, id }: Inspection): Promise<Finding[]> {
  // A fault is reported at once instead of waited out.
  const bucket = openBucket(url, options, { waits: false })
  try {
    const last = lastHeaders(bucket)
    const list = (): Promise<unknown> =>
      bucket.guard('list the lake', () =>
        bucket.client.send(
          new ListObjectsV2Command({ Bucket: bucket.name, Prefix: `${bucket.prefix}raw/`, MaxKeys: 1 }),
        ),
      )
    const server = await find('server', async () => {
      await list()
      return `${bucket.place}: ${last()['server'] ?? last()['x-amz-server'] ?? 'an S3 store that does not say which'}`
    })
    if (server.state === 'broken') return [server]
    const latency = await findLatency(now, () => bucket.client.send(new HeadBucketCommand({ Bucket: bucket.name })))
    const permissions = await find('permissions', () => tryBucket(bucket, `${bucket.prefix}fd-doctor/${id}`))
    const clock = await find('clock', async () => {
      const before = now()
      await list()
      const told = Date.parse(last()['date'] ?? '')
      return Number.isNaN(told)
        ? 'the store does not tell its time'
        : judgeClock(clockSkew(before, told, now(), 1000), 'The clock of the store')
    })
    return [server, latency, permissions, clock]
  } finally {
    bucket.client.destroy()
  }
}

const withHeaders = z.object({ headers: z.record(z.string(), z.string()) })

/** The headers of the newest answer, which the client itself does not give out. */
function lastHeaders(bucket: Bucket): () => Record<string, string> {
  let headers: Record<string, string> = {}
  bucket.client.middlewareStack.add(
    (next) => async (given) => {
      const answer = await next(given)
      headers = withHeaders.parse(answer.response).headers
      return answer
    },
    { step: 'deserialize', name: 'fdLastHeaders', priority: 'low' },
  )
  return () => headers
}

async function tryBucket(bucket: Bucket, key: string): Promise<string> {
  const object = { Bucket: bucket.name, Key: key }
  const trial = `trial object ${key}`
  await bucket.guard(`write ${trial}`, () => bucket.client.send(new PutObjectCommand({ ...object, Body: key })))
  try {
    const { Body } = await bucket.guard(`read ${trial}`, () => bucket.client.send(new GetObjectCommand(object)))
    const read = await Body?.transformToString()
    if (read !== key) {
      throw new UserError(
        `${bucket.place} gave back ${JSON.stringify(read)} for what was just written. Look at the store's log.`,
      )
    }
  } finally {
    await bucket.guard(`delete ${trial}`, () => bucket.client.send(new DeleteObjectCommand(object)))
  }
  return 'wrote, read and deleted an object'
}
