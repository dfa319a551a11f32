import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openOnlineStore } from '../open.ts'
import { onlineStoreContract } from './online-store.contract.ts'

const folders: string[] = []
async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fd-online-'))
  folders.push(folder)
  return folder
}
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

onlineStoreContract('lmdb:', async () => `lmdb:${await freshFolder()}`)

test('a file that is no database is refused by name', async () => {
  const folder = await freshFolder()
  await writeFile(join(folder, 'data.mdb'), Buffer.alloc(20_000, 'garbage'))
  await expect(openOnlineStore(`lmdb:${folder}`)).rejects.toThrow(/data\.mdb is damaged/)
})

test('an unknown scheme is refused', async () => {
  await expect(openOnlineStore('postgres://localhost')).rejects.toThrow(/No online store driver for "postgres/)
})
