import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { codeVersion, readCodeVersion, type CodeVersion } from './code-version.ts'
import { packageVersion } from './config.ts'

let folder: string
let root: string
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'fd-code-')))
  root = join(folder, 'code')
  mkdirSync(join(root, 'configs', 'testing'), { recursive: true })
  write('package.json', '{}')
  write('configs/a.ts', 'export const a = 1\n')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (file: string, text: string): void => writeFileSync(join(root, file), text)
const read = (at = root, env: NodeJS.ProcessEnv = process.env): CodeVersion => readCodeVersion(at, env)

function git(cwd: string, ...args: string[]): string {
  const who = ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-c', 'commit.gpgsign=false']
  return execFileSync('git', [...who, ...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
}

/** Makes `at` a repository with one commit, and gives the id of that. */
function commitAll(at = root): string {
  git(at, 'init', '-q')
  git(at, 'add', '.')
  git(at, 'commit', '-q', '-m', 'one')
  return git(at, 'rev-parse', 'HEAD')
}

const named = ({ digest }: CodeVersion, ...parts: string[]): string =>
  `${packageVersion()} (${[...parts, `sources ${digest.slice(0, 12)}`].join(', ')})`

test('without a repository of its own, the code is the digest of its sources', () => {
  const bare = read()
  expect(bare).toEqual({ version: named(bare), digest: bare.digest })
  commitAll(folder)
  expect(read()).toEqual(bare)
  mkdirSync(join(root, '.git'))
  expect(read()).toEqual(bare)
})

test('a clean work tree is named by its commit, on a branch, detached, packed and in a second work tree', () => {
  const commit = commitAll()
  const clean = read()
  expect(clean).toEqual({ version: named(clean, commit.slice(0, 12)), digest: clean.digest, commit })
  git(root, 'pack-refs', '--all')
  expect(read()).toEqual(clean)
  git(root, 'checkout', '-q', '--detach')
  expect(read()).toEqual(clean)
  const second = join(folder, 'second')
  git(root, 'worktree', 'add', '-q', second, 'HEAD')
  expect(read(second)).toEqual(clean)
  writeFileSync(join(second, 'configs', 'a.ts'), 'export const a = 2\n')
  expect(read(second).version).toContain(', dirty, ')
  expect(read()).toEqual(clean)
})

test('a changed or new source is dirty and other code; tests, notes and data are not', () => {
  const commit = commitAll()
  const clean = read()
  for (const file of ['README.md', 'configs/b.test.ts', 'configs/testing/c.ts', 'configs/local.yaml']) write(file, 'x')
  expect(read()).toEqual(clean)
  write('configs/new.ts', '')
  const added = read()
  rmSync(join(root, 'configs/new.ts'))
  write('configs/a.ts', 'export const a = 2\n')
  const changed = read()
  for (const dirty of [added, changed]) {
    expect(dirty).toEqual({ version: named(dirty, commit.slice(0, 12), 'dirty'), digest: dirty.digest, commit })
  }
  expect(new Set([clean, added, changed].map(({ digest }) => digest)).size).toBe(3)
})

test('a copy without git, a machine without git and a repository without a commit have the digest alone', () => {
  git(root, 'init', '-q')
  const bare = read()
  expect(bare).toEqual({ version: named(bare), digest: bare.digest })
  commitAll()
  expect(read(root, { PATH: folder })).toEqual(bare)
  cpSync(join(root, 'configs'), join(folder, 'copy', 'configs'), { recursive: true })
  cpSync(join(root, 'package.json'), join(folder, 'copy', 'package.json'))
  expect(read(join(folder, 'copy'))).toEqual(bare)
})

test('variables of git that point elsewhere do not matter', () => {
  commitAll()
  expect(read(root, { ...process.env, GIT_DIR: join(folder, 'elsewhere') })).toEqual(read())
})

test('a process has one code', () => {
  expect(codeVersion()).toBe(codeVersion())
  expect(codeVersion().digest).toMatch(/^[0-9a-f]{64}$/)
})
