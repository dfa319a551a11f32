import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openOnlineStore } from '../open.ts'
import { onlineStoreContract } from './online-store.contract.ts'
import type { Base, EntityState } from './online-store.ts'

const folders: string[] = []
async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fd-online-'))
  folders.push(folder)
  return folder
}
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

onlineStoreContract('lmdb:', async () => `lmdb:${await freshFolder()}`)

const draft = { service: 'card-fraud', serviceDigest: 'd', watermark: 5, minorUnits: 2 }
const place = { group: 'g', topic: 't', partition: 0 }
const state = (key: number): EntityState => ({ view: 'v', key, bytes: Buffer.from('old') })

test('a publish that fails half-way leaves nothing that shows through in the next', async () => {
  await using store = await openOnlineStore(`lmdb:${await freshFolder()}`)
  const failing = function* (): Generator<EntityState> {
    for (let key = 0; key < 12_000; key++) yield state(key)
    throw new Error('half-way')
  }
  await expect(store.publish(draft, failing())).rejects.toThrow('half-way')
  expect(await store.base('card-fraud')).toBeUndefined()
  const base = await store.publish(draft, [])
  expect(await store.base('card-fraud')).toEqual(base)
  expect(await (await store.group('card-fraud', place)).read('v', [0, 4999, 11_999])).toEqual([
    undefined,
    undefined,
    undefined,
  ])
})

test('of two publishes at once the one that began last is the newest, and their states do not mix', async () => {
  await using store = await openOnlineStore(`lmdb:${await freshFolder()}`)
  let later: Promise<Base> | undefined
  const interrupted = function* (): Generator<EntityState> {
    for (let key = 0; key < 12_000; key++) {
      if (key === 6_000) later = store.publish(draft, [state(-1)])
      yield state(key)
    }
  }
  await store.publish(draft, interrupted())
  expect(await store.base('card-fraud')).toEqual(await later)
  const read = await (await store.group('card-fraud', place)).read('v', [-1, 0, 7_000])
  expect(read.map((bytes) => bytes !== undefined)).toEqual([true, false, false])
  // The next one removes what the first has left, and keeps the one before it.
  const next = await store.publish(draft, [])
  expect(next.version).toBe(3)
})

test('a publish that is killed leaves nothing visible, nor in the next base', async () => {
  const folder = await freshFolder()
  const script = `
    const { openOnlineStore } = await import(${JSON.stringify(join(import.meta.dirname, '../open.ts'))})
    const store = await openOnlineStore(${JSON.stringify(`lmdb:${folder}`)})
    const endless = function* () {
      for (let key = 0; ; key++) {
        if (key === 20_000) console.log('on its way')
        yield { view: 'v', key, bytes: Buffer.from('old') }
      }
    }
    await store.publish(${JSON.stringify(draft)}, endless())`
  const nodeFlags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script]
  const child = spawn(process.execPath, nodeFlags, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'close')
  await using store = await openOnlineStore(`lmdb:${folder}`)
  expect(await store.base('card-fraud')).toBeUndefined()
  await store.publish(draft, [state(-1)])
  const read = (await store.group('card-fraud', place)).read('v', [-1, 0, 10_000])
  expect((await read).map((bytes) => bytes && Buffer.from(bytes).toString())).toEqual(['old', undefined, undefined])
})

test('a file that is no database is refused by name', async () => {
  const folder = await freshFolder()
  await writeFile(join(folder, 'data.mdb'), Buffer.alloc(20_000, 'garbage'))
  await expect(openOnlineStore(`lmdb:${folder}`)).rejects.toThrow(/data\.mdb is damaged/)
})

test('an unknown scheme is refused', async () => {
  await expect(openOnlineStore('postgres://localhost')).rejects.toThrow(/No online store driver for "postgres/)
})
