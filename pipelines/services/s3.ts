import { join } from 'node:path'
import { makeFolder } from '../../configs/folder.ts'
import { UserError } from '../../configs/user-error.ts'
import type { Credentials } from './credentials.ts'
import { isInstalled, markInstalled, onPath, run } from './install.ts'
import type { Launch } from './process.ts'
import type { Service } from './service.ts'

const MODULE = 'github.com/versity/versitygw/cmd/versitygw'
const REGION = 'us-east-1'
const ANSWER_MS = 5000

/**
 * An S3 server without Docker: versitygw, built from the Go module proxy. It keeps objects as plain files, so the data
 * survives a change of its version, and it supports multipart uploads in full. The bucket exists when the start is
 * done.
 */
export function s3Service(
  { port, version, bucket }: { port: number; version: string; bucket: string },
  cache: string,
  credentials: Credentials,
): Service {
  const installed = join(cache, `versitygw-${version}`)
  const endpoint = `http://127.0.0.1:${port}`
  const url = `s3://${bucket}?endpoint=${endpoint}`
  const keys = { key: credentials.S3_ACCESS_KEY_ID, secret: credentials.S3_SECRET_ACCESS_KEY }
  return {
    name: 's3',
    port,
    url,
    environment: {
      FD_LAKE: url,
      AWS_ENDPOINT_URL: endpoint,
      AWS_ACCESS_KEY_ID: keys.key,
      AWS_SECRET_ACCESS_KEY: keys.secret,
      AWS_REGION: REGION,
    },
    missing: () => missing(installed, version),
    install: () => install(installed, version),
    prepare: async (folder) => prepare(installed, folder, port, keys),
    check: async () => {
      const health = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(ANSWER_MS) })
      if (!health.ok) throw new Error(`GET ${endpoint}/health answered ${health.status}`)
      return version
    },
    finish: () => makeBucket(endpoint, bucket, keys),
    patience: { startMs: 60_000, stopMs: 15_000 },
  }
}

interface Keys {
  key: string
  secret: string
}

const GET_GO = 'Get it from https://go.dev/dl, then run: fd services up s3 --install'

function missing(installed: string, version: string): string | undefined {
  if (isInstalled(installed)) return undefined
  if (onPath('go') === undefined)
    return `The S3 server versitygw is built with Go 1.25 or later, which is not installed. ${GET_GO}`
  return (
    `The S3 server versitygw ${version} is not installed (built from Go modules, one to two minutes). ` +
    'Run: fd services up s3 --install'
  )
}

function prepare(installed: string, folder: string, port: number, { key, secret }: Keys): Launch {
  const [data, metadata] = [join(folder, 'data'), join(folder, 'metadata')]
  for (const part of [data, metadata]) makeFolder(part)
  const server = ['--port', `127.0.0.1:${port}`, '--region', REGION, '--health', '/health', '--quiet']
  return {
    command: join(installed, 'versitygw'),
    // Metadata lies beside the data, since not every file system (tmpfs, overlay) has extended attributes.
    args: [...server, 'posix', '--sidecar', metadata, data],
    env: { ROOT_ACCESS_KEY_ID: key, ROOT_SECRET_ACCESS_KEY: secret },
  }
}

async function install(folder: string, version: string): Promise<void> {
  makeFolder(folder)
  await run('go', ['install', '-trimpath', '-ldflags', '-s -w', `${MODULE}@${version}`], {
    env: { GOBIN: folder, GOFLAGS: '-modcacherw' },
    otherwise: `Go is not installed. ${GET_GO}`,
  })
  markInstalled(folder)
}

async function makeBucket(endpoint: string, bucket: string, { key, secret }: Keys): Promise<void> {
  const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3')
  const client = new S3Client({
    endpoint,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId: key, secretAccessKey: secret },
  })
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
  } catch (error) {
    const name = error instanceof Error ? error.name : ''
    if (name === 'InvalidAccessKeyId' || name === 'SignatureDoesNotMatch') {
      throw new UserError(
        'The S3 server does not know the credentials of this home. Run: fd services down s3, then fd services up s3',
        { cause: error },
      )
    }
    if (name !== 'BucketAlreadyOwnedByYou' && name !== 'BucketAlreadyExists') throw error
  } finally {
    client.destroy()
  }
}
