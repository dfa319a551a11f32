import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { packageVersion, PROJECT_ROOT } from './config.ts'

/** Which code runs. */
export interface CodeVersion {
  /**
   * For people: `fd 0.1.0 (1a2b3c4d5e6f, dirty, sources 0123456789ab)`. `dirty` says that a source file differs from
   * the commit. Without git only the sources are named.
   */
  version: string
  /** SHA-256 of the sources, 64 hex digits. Equal digests are equal code. */
  digest: string
  /** The whole id of the commit, where the code lies in a git work tree of its own. */
  commit?: string
}

/** Folders whose files run when `fd` runs. */
const FOLDERS = ['configs', 'datasets', 'features', 'pipelines', 'registry', 'serving', 'training']
/** TypeScript, the tree kernel, and the installer. */
const SOURCE = /\.(ts|as|mjs)$/
/** Files that run only in tests and benchmarks. */
const TESTS = /(^|\/)testing\/|\.(test|contract|bench)\.ts$/
/** The same files for git, and `package.json`, which pins the dependencies. */
const PATHSPECS = [
  'package.json',
  ...FOLDERS.flatMap((folder) => ['ts', 'as', 'mjs'].map((ending) => `:(glob)${folder}/**/*.${ending}`)),
  ':(exclude,glob)**/testing/**',
  ...['test', 'contract', 'bench'].map((kind) => `:(exclude,glob)**/*.${kind}.ts`),
]

let known: CodeVersion | undefined

/** The code of this process, found out once: a process goes on with the code that it began with. */
export function codeVersion(): CodeVersion {
  return (known ??= readCodeVersion(PROJECT_ROOT, process.env))
}

/** The code in the folder `root`. Only its own `.git` counts, not a repository around an installed package. */
export function readCodeVersion(root: string, env: NodeJS.ProcessEnv): CodeVersion {
  const digest = sourceDigest(root)
  const git = existsSync(join(root, '.git')) ? gitState(root, env) : undefined
  const parts = [
    ...(git === undefined ? [] : [git.commit.slice(0, 12), ...(git.dirty ? ['dirty'] : [])]),
    `sources ${digest.slice(0, 12)}`,
  ]
  const version = `${packageVersion()} (${parts.join(', ')})`
  return git === undefined ? { version, digest } : { version, digest, commit: git.commit }
}

/** Hashes path, length and content of each source file, in the order of their paths. */
function sourceDigest(root: string): string {
  const files = FOLDERS.filter((folder) => existsSync(join(root, folder))).flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((file) => `${folder}/${file.replaceAll(sep, '/')}`)
      .filter((file) => SOURCE.test(file) && !TESTS.test(file)),
  )
  const hash = createHash('sha256')
  for (const file of ['package.json', ...files].toSorted()) {
    const content = readFileSync(join(root, file))
    hash.update(`${file}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex')
}

/** Commit and state of the work tree. Undefined without git, without a commit, or where git refuses the folder. */
function gitState(root: string, env: NodeJS.ProcessEnv): { commit: string; dirty: boolean } | undefined {
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('GIT_')))
  // Without the ceiling git would take a repository around this one, when `.git` here is no repository.
  const quiet = { ...own, GIT_CEILING_DIRECTORIES: dirname(root), GIT_OPTIONAL_LOCKS: '0' }
  const args = ['status', '--porcelain=v2', '--branch', '--untracked-files=all', '--', ...PATHSPECS]
  try {
    const said = execFileSync('git', args, {
      cwd: root,
      env: quiet,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const commit = /^# branch\.oid ([0-9a-f]+)$/m.exec(said)?.[1]
    return commit === undefined ? undefined : { commit, dirty: /^[^#]/m.test(said) }
  } catch {
    return undefined
  }
}
