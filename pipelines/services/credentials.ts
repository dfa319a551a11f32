import { randomBytes } from 'node:crypto'
import { linkSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { credentialsFile, readCredentials } from '../../configs/credentials.ts'
import { makeFolder } from '../../configs/folder.ts'
import { errorCode } from '../../configs/user-error.ts'

const NAMES = ['REDIS_PASSWORD', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY', 'GRAFANA_PASSWORD'] as const

/** The secrets of a home's services, by the names that configs/services.yaml and docker-compose.yml use. */
export type Credentials = Record<(typeof NAMES)[number], string>

/**
 * The secrets of a home, drawn at the first call and kept. They must be kept, because a server's data outlives its
 * process, and the passwords of Redis and MinIO belong to that data. Only their owner can read them. They are
 * hexadecimal, so that no URL, shell or file format needs to quote them.
 */
export function makeCredentials(home: string): Credentials {
  const file = credentialsFile(home)
  const kept = readCredentials(home)
  const credentials = Object.fromEntries(
    NAMES.map((name) => [name, kept[name] ?? randomBytes(name === 'S3_ACCESS_KEY_ID' ? 8 : 20).toString('hex')]),
  ) as Credentials
  if (NAMES.every((name) => kept[name] !== undefined)) return credentials
  makeFolder(dirname(file), 0o700)
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, NAMES.map((name) => `${name}=${credentials[name]}\n`).join(''), { mode: 0o600 })
  try {
    if (Object.keys(kept).length > 0) rmSync(file)
    linkSync(draft, file)
    return credentials
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
    // Another `fd` was quicker: its secrets count.
    return makeCredentials(home)
  } finally {
    rmSync(draft)
  }
}
