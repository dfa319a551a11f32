import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { UserError } from '../user-error.ts'
import { openEnvironment } from './lmdb.ts'

const home = mkdtempSync(join(tmpdir(), 'fd-lmdb-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

const key = Buffer.from('key')

test('what a write did is there after reopening; what it did before it threw is not', async () => {
  const folder = join(home, 'a', 'b')
  const first = openEnvironment(folder)
  const values = first.database('values')
  expect(first.write(() => values.putSync(key, Buffer.from('kept')))).toBe(true)
  const failing = (): void => {
    first.write(() => {
      values.putSync(key, Buffer.from('lost'))
      throw new Error('on purpose')
    })
  }
  expect(failing).toThrow('on purpose')
  await first.close()
  const second = openEnvironment(folder, { sync: false })
  expect(second.read(() => second.database('values').get(key)?.toString())).toBe('kept')
  await second.close()
  expect(readdirSync(folder).toSorted()).toEqual(['data.mdb', 'lock.mdb'])
})

test('a folder that cannot be, or a file of something else, is an error that names it', () => {
  writeFileSync(join(home, 'file'), '')
  expect(() => openEnvironment(join(home, 'file'))).toThrow(UserError)
  expect(() => openEnvironment(join(home, 'file', 'below'))).toThrow(/Set FD_HOME/)
  const folder = mkdtempSync(join(home, 'garbage-'))
  writeFileSync(join(folder, 'data.mdb'), 'garbage')
  expect(() => openEnvironment(folder)).toThrow(`${join(folder, 'data.mdb')} is damaged`)
})
