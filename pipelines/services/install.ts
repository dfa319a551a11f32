import { spawn } from 'node:child_process'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { environmentWith } from '../../configs/config.ts'
import type { Variables } from '../../configs/credentials.ts'
import { UserError } from '../../configs/user-error.ts'

const MOST_OUTPUT = 4000

/** The absolute path of a program on PATH, or undefined. */
export function onPath(program: string): string | undefined {
  const folders = (environmentWith({})['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, program)).find(isProgram)
}

function isProgram(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false })
  return found !== undefined && found.isFile() && (found.mode & 0o111) !== 0
}

/**
 * Runs a program to its end and resolves to the last 4,000 characters it printed (stdout and stderr).
 *
 * @throws UserError with the end of its output when it fails, or with `otherwise` when it cannot be started.
 */
export function run(
  command: string,
  args: readonly string[],
  options: { env?: Variables; cwd?: string; otherwise?: string } = {},
): Promise<string> {
  const line = [command, ...args].join(' ')
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environmentWith(options.env ?? {}),
      cwd: options.cwd,
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-MOST_OUTPUT)))
    child.once('error', (cause) =>
      reject(new UserError(options.otherwise ?? `${command} cannot be run: ${cause.message}`, { cause })),
    )
    child.once('close', (code) =>
      code === 0 ? resolve(said) : reject(new UserError(`${line} ended with ${code}:\n${said.trim()}`)),
    )
  })
}

/** Whether we can install packages of the distribution: with Debian's apt-get, as root. */
export function canInstallPackages(): boolean {
  return process.getuid?.() === 0 && onPath('apt-get') !== undefined
}

/** Installs packages of the distribution without starting their servers: ours run in a home, not under systemd. */
export async function installPackages(...names: string[]): Promise<void> {
  const command = `apt-get install -y ${names.join(' ')}`
  if (!canInstallPackages()) {
    throw new UserError(`${names.join(' and ')} must be installed by root. Run: sudo ${command}`)
  }
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  // The package lists of an image may be old or empty. Then the first try finds nothing to download.
  await run('apt-get', ['install', '-y', '--no-install-recommends', ...names], { env }).catch(async () => {
    await run('apt-get', ['update'], { env })
    await run('apt-get', ['install', '-y', '--no-install-recommends', ...names], { env })
  })
}

const MARKER = '.complete'

/** Whether an installation in `folder` was completed. */
export function isInstalled(folder: string): boolean {
  return existsSync(join(folder, MARKER))
}

export function markInstalled(folder: string): void {
  writeFileSync(join(folder, MARKER), '')
}
