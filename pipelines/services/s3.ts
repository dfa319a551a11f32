import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../../configs/user-error.ts'
import type { Credentials } from './credentials.ts'
import { isInstalled, markInstalled, onPath, run } from './install.ts'
import type { Service } from './service.ts'

const MODULE = 'github.com/versity/versitygw/cmd/versitygw'
const REGION = 'us-east-1'
const ANSWER_MS = 5000

/**
 * An S3 server without Docker: versitygw, built from the Go module proxy. Objects are plain files, so that data survives any
 * version of it, and multipart uploads are complete. The bucket is there when the start is done.
 */
export function s3Service(
  { port, version, bucket }: { port: number; version: string; bucket: string },
  cache: string,
  credentials: Credentials,
): Service {
  const installed = join(cache, `versitygw-${version}`)
  const endpoint = `http://127.0.0.1:${port}`
  const { S3_ACCESS_KEY_ID: key, S3_SECRET_ACCESS_KEY: secret } = credentials
  return {
    name: 's3',
    port,
    url: `s3://${bucket}?endpoint=${endpoint}`,
    environment: {
      FD_LAKE: `s3://${bucket}?endpoint=${endpoint}`,
      AWS_ENDPOINT_URL: endpoint,
      AWS_ACCESS_KEY_ID: key,
      AWS_SECRET_ACCESS_KEY: secret,
      AWS_REGION: REGION,
    },
    missing: () =>
      isInstalled(installed)
        ? undefined
        : onPath('go') === undefined
          ? 'The S3 server versitygw is built with Go 1.25 or later, which is not installed. Get it from https://go.dev/dl, then run: fd services up s3 --install'
          : `The S3 server versitygw ${version} is not installed (built from Go modules, one to two minutes). Run: fd services up s3 --install`,
    install: () => install(installed, version),
    prepare: async (folder) => {
      for (const name of ['data', 'metadata']) mkdirSync(join(folder, name), { recursive: true })
      return {
        command: join(installed, 'versitygw'),
        // Metadata beside the data, since not every file system (tmpfs, overlay) has extended attributes.
        args: [
          '--port',
          `127.0.0.1:${port}`,
          '--region',
          REGION,
          '--health',
          '/health',
          '--quiet',
          'posix',
          '--sidecar',
          join(folder, 'metadata'),
          join(folder, 'data'),
        ],
        env: { ROOT_ACCESS_KEY_ID: key, ROOT_SECRET_ACCESS_KEY: secret },
      }
    },
    check: async () => {
      const health = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(ANSWER_MS) })
      if (!health.ok) throw new Error(`GET ${endpoint}/health answered ${health.status}`)
      return version
    },
    finish: () => makeBucket(endpoint, bucket, key, secret),
    patience: { startMs: 60_000, stopMs: 15_000 },
  }
}

async function install(folder: string, version: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  await run('go', ['install', '-trimpath', '-ldflags', '-s -w', `${MODULE}@${version}`], {
    env: { GOBIN: folder, GOFLAGS: '-modcacherw' },
    otherwise: 'Go is not installed. Get it from https://go.dev/dl, then run: fd services up s3 --install',
  })
  markInstalled(folder)
}

async function makeBucket(
  endpoint: string,
  bucket: string,
  accessKeyId: string,
  secretAccessKey: string,
): Promise<void> {
  const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3')
  const client = new S3Client({
    endpoint,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  })
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
  } catch (error) {
    const name = error instanceof Error ? error.name : ''
    if (name === 'InvalidAccessKeyId' || name === 'SignatureDoesNotMatch')
      throw new UserError(
        'The S3 server does not know the credentials of this home. Run: fd services down s3, then fd services up s3',
        { cause: error },
      )
    if (name !== 'BucketAlreadyOwnedByYou' && name !== 'BucketAlreadyExists') throw error
  } finally {
    client.destroy()
  }
}
