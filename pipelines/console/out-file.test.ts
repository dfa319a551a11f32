import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { outFile } from './out-file.ts'

const root = mkdtempSync(join(tmpdir(), 'fd-out-'))
const home = join(root, 'home')
mkdirSync(home)
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('folders are made in the project and the home only, also behind a link; a folder is no file', () => {
  expect(outFile(join(home, 'a/b.parquet'), home)).toBe(join(home, 'a/b.parquet'))
  expect(outFile('new/b.parquet', home)).toBe(join(process.cwd(), 'new/b.parquet'))
  expect(outFile(join(PROJECT_ROOT, 'new/b.parquet'), home)).toBe(join(PROJECT_ROOT, 'new/b.parquet'))
  expect(outFile(join(root, 'b.parquet'), home)).toBe(join(root, 'b.parquet'))
  symlinkSync(root, join(home, 'link'))
  for (const file of [join(root, 'typo/b.parquet'), join(home, 'link/typo/b.parquet'), '/proc/x/b.parquet']) {
    expect(() => outFile(file, home)).toThrow(/There is no folder .*Make it first: mkdir -p /)
  }
  expect(() => outFile(home, home)).toThrow(/is a folder\. Name a file in it/)
  expect(existsSync(join(root, 'typo'))).toBe(false)
})
