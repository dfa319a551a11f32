import { randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { credentialsFile, readCredentials } from '../../configs/credentials.ts'
import { exclusively } from './process.ts'

const NAMES = ['REDIS_PASSWORD', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY', 'GRAFANA_PASSWORD'] as const

/** The secrets of a home's services, by the names that configs/services.yaml and docker-compose.yml use. */
export type Credentials = Record<(typeof NAMES)[number], string>

/**
 * The secrets of a home, drawn at the first call and kept; of several who draw at once all have the same. They must be
 * kept, because a server's data outlives its process, and the passwords of Redis and MinIO belong to that data. Only
 * their owner can read them. They are hexadecimal, so that no URL, shell or file format needs to quote them.
 */
export async function makeCredentials(home: string): Promise<Credentials> {
  const kept = readCredentials(home)
  return isWhole(kept) ? kept : exclusively(dirname(credentialsFile(home)), async () => draw(home))
}

function isWhole(kept: Record<string, string>): kept is Credentials {
  return NAMES.every((name) => kept[name] !== undefined)
}

/** Draws what another, who had the lock before, has not drawn. */
function draw(home: string): Credentials {
  const file = credentialsFile(home)
  const kept = readCredentials(home)
  if (isWhole(kept)) return kept
  const drawn = Object.fromEntries(
    NAMES.map((name) => [name, kept[name] ?? randomBytes(name === 'S3_ACCESS_KEY_ID' ? 8 : 20).toString('hex')]),
  ) as Credentials
  const lines = Object.entries({ ...kept, ...drawn }).map(([name, secret]) => `${name}=${secret}\n`)
  // A reader finds the file as it was or as it is now.
  writeFileSync(`${file}.new`, lines.join(''), { mode: 0o600, flush: true })
  renameSync(`${file}.new`, file)
  return drawn
}
