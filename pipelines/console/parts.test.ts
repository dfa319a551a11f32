import { expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { openJobQueue } from '../../training/open.ts'
import { openLake, openLog, openRegistry, openStore } from './parts.ts'

/** How each part of a configuration is opened from its URL. */
const DOORS: Record<string, (url: string) => Promise<unknown>> = {
  'event log': (url) => openLog({ eventLog: url }, () => {}),
  'online store': (url) => openStore({ onlineStore: url }, () => {}),
  'job queue': (url) => openJobQueue(url),
  registry: (url) => openRegistry({ registry: url, mlflow: {} }),
  lake: (url) => openLake({ lake: url, s3: {} }, () => {}),
}

/** Users and passwords with marks that should have been escaped, and hosts that are none. */
const REMAINDERS = [
  '%zz:HUSH@h:1',
  'u:HUSH%@h:1',
  'u:HUSH%E0%A4@h:1',
  'u:HUSH%zz@h:1',
  'u:HU/HUSH@h:1',
  'u:HU?HUSH@h:1',
  'u:HU#HUSH@h:0x',
  'u:HUSH@h:0x',
  'u:HUSH@[::1',
  'u:HUSH@',
]
const SCHEMES: Record<string, string[]> = {
  'event log': ['kafka'],
  'online store': ['redis', 'rediss'],
  'job queue': ['redis', 'rediss'],
  registry: ['http', 'https'],
  lake: ['s3'],
}

test.each(
  Object.keys(DOORS).flatMap((part) =>
    [...SCHEMES[part], 'unknown'].flatMap((scheme) => REMAINDERS.map((rest) => [part, `${scheme}://${rest}`])),
  ),
)('%s %s: refused at once in words for the user, without the password', async (part, url) => {
  const failure: unknown = await DOORS[part](url).then(
    () => 'opened',
    (error: unknown) => error,
  )
  expect(failure).toBeInstanceOf(UserError)
  expect(String(failure)).not.toContain('HUSH')
})
