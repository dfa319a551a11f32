import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import type { Tell } from '../../configs/tell.ts'
import type { RecordBatch } from '../log/event-log.ts'
import { byPartition, compareLakeFiles, filesOf, nothingOf, parseLakePath } from './file.ts'
import type { DateRange, Lake, LakeFile } from './lake.ts'
import { openRecordWriter, readRecords, type RecordWriter } from './parquet.ts'
import { openBucket, type Bucket, type S3Options } from './s3-bucket.ts'

/** Bytes of one part of a larger upload; S3 takes no less than 5 MiB. A file of one part is one PUT. */
const PART_BYTES = 8 * 1024 * 1024
/** Downloads at a time: enough to hide the store's latency on files of a few megabytes. */
const DOWNLOADS = 4

/**
 * The lake in an S3 bucket, laid out as in a folder. S3 itself keeps the port's promises: an object appears whole or
 * not at all, and writing it again replaces it. Parquet passes through a scratch folder of this machine, which holds
 * one partition of the topic that is read.
 *
 * A writer that is killed within a multipart upload leaves parts that no reader sees. A lifecycle rule of the bucket
 * (AbortIncompleteMultipartUpload) removes them.
 */
export async function openS3Lake(url: string, options: S3Options, tell: Tell): Promise<Lake> {
  const bucket = openBucket(url, options, { tell })
  const scratch = await mkdtemp(join(tmpdir(), 'fd-lake-'))
  const writer = await openRecordWriter()
  const pending = new Set<Promise<LakeFile[]>>()
  return {
    async write(batch) {
      const written = writeBatch(writer, bucket, scratch, batch)
      pending.add(written)
      return written.finally(() => pending.delete(written))
    },
    list: (topic) => listFiles(bucket, topic),
    read: (topic, range = {}) => readTopic(bucket, scratch, topic, range),
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(pending)
      await writer[Symbol.asyncDispose]()
      bucket.client.destroy()
      await rm(scratch, { recursive: true, force: true })
    },
  }
}

/** Numbers the files of the scratch folder, because two writes of one name may overlap. */
let scratchFiles = 0

async function writeBatch(
  writer: RecordWriter,
  bucket: Bucket,
  scratch: string,
  batch: RecordBatch,
): Promise<LakeFile[]> {
  const files = filesOf(batch)
  for (const [{ path }, rows] of files) {
    const local = join(scratch, `${scratchFiles++}.parquet`)
    try {
      await writer.write(local, batch, rows)
      await upload(bucket, path, local)
    } finally {
      await rm(local, { force: true })
    }
  }
  return files.map(([file]) => file)
}

async function upload(bucket: Bucket, path: string, local: string): Promise<void> {
  const target = { Bucket: bucket.name, Key: bucket.prefix + path, ContentType: 'application/vnd.apache.parquet' }
  await bucket.guard(`write ${path}`, () =>
    new Upload({
      client: bucket.client,
      params: { ...target, Body: createReadStream(local) },
      partSize: PART_BYTES,
    }).done(),
  )
}

async function listFiles(bucket: Bucket, topic: string | undefined): Promise<LakeFile[]> {
  const root = topic === undefined ? 'raw/' : `raw/${topic}/`
  const files: LakeFile[] = []
  let token: string | undefined
  do {
    // Each page has its own guard, so that a long listing continues at the page that failed.
    const page = await bucket.guard(`list ${root}`, () =>
      bucket.client.send(
        new ListObjectsV2Command({ Bucket: bucket.name, Prefix: bucket.prefix + root, ContinuationToken: token }),
      ),
    )
    for (const { Key = '' } of page.Contents ?? []) {
      const file = parseLakePath(Key.slice(bucket.prefix.length))
      if (file !== undefined) files.push(file)
    }
    token = page.NextContinuationToken
  } while (token !== undefined)
  return files.sort(compareLakeFiles)
}

async function* readTopic(
  bucket: Bucket,
  scratch: string,
  topic: string,
  range: DateRange,
): AsyncGenerator<RecordBatch> {
  const files = await listFiles(bucket, topic)
  if (files.length === 0) throw nothingOf(topic, bucket.place, await listFiles(bucket, undefined))
  for (const [partition, parts] of byPartition(files, range)) {
    const folder = await mkdtemp(join(scratch, 'read-'))
    try {
      yield* readRecords(topic, partition, await downloadAll(bucket, parts, folder), join(folder, 'sort'))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** @returns the local files, in the order of `files`. */
async function downloadAll(bucket: Bucket, files: readonly LakeFile[], folder: string): Promise<string[]> {
  const local = files.map((file) =>
    join(folder, `date=${file.date}-partition-${file.partition}-offset-${file.offset}.parquet`),
  )
  const left = files.keys()
  const worker = async (): Promise<void> => {
    for (const index of left) await download(bucket, files[index].path, local[index])
  }
  await Promise.all(Array.from({ length: DOWNLOADS }, worker))
  return local
}

async function download(bucket: Bucket, path: string, local: string): Promise<void> {
  await bucket.guard(`read ${path}`, async () => {
    const { Body } = await bucket.client.send(new GetObjectCommand({ Bucket: bucket.name, Key: bucket.prefix + path }))
    if (!(Body instanceof Readable)) throw new TypeError(`S3 gave no stream for ${path}`)
    await pipeline(Body, createWriteStream(local))
  })
}
