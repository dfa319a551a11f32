import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { makeFolder } from './folder.ts'
import { UserError } from './user-error.ts'

const root = mkdtempSync(join(tmpdir(), 'fd-folder-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('missing folders are made, also a second time; a file or a dead link in the way is told', () => {
  const deep = join(root, 'a/b/c')
  makeFolder(deep)
  makeFolder(deep)
  expect(statSync(deep).isDirectory()).toBe(true)
  makeFolder(join(root, 'own/deep'), 0o700)
  for (const path of ['own', 'own/deep']) expect(statSync(join(root, path)).mode & 0o777).toBe(0o700)
  writeFileSync(join(root, 'file'), '')
  symlinkSync(join(root, 'nowhere'), join(root, 'dead'))
  expect(() => makeFolder(join(root, 'file'))).toThrow(/EEXIST/)
  expect(() => makeFolder(join(root, 'file/below'))).toThrow(/ENOTDIR|EEXIST/)
  expect(() => makeFolder(join(root, 'dead'))).toThrow(/EEXIST/)
})

test.runIf(process.platform === 'linux').each(['/proc/x', '/proc/x/deep/below'])(
  '%s, where no folder can be made, is refused at once',
  (folder) => {
    expect(() => makeFolder(folder)).toThrow(UserError)
    expect(() => makeFolder(folder)).toThrow('/proc/x cannot be made: /proc takes no folders')
  },
)
