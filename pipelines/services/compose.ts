import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { credentialsFile } from '../../configs/credentials.ts'
import { UserError } from '../../configs/user-error.ts'

const ENGINE_ANSWER_MS = 10_000

/** Whether a Docker engine answers and has compose. A client without an engine does not count. */
export function hasDockerEngine(): boolean {
  return dockerAnswers('info') && dockerAnswers('compose', 'version')
}

function dockerAnswers(...args: string[]): boolean {
  return spawnSync('docker', args, { stdio: 'ignore', timeout: ENGINE_ANSWER_MS }).status === 0
}

/**
 * Runs `docker compose` on the project's file with the home's credentials. Its output goes to stderr, or to stdout
 * where it is the command's result. Ends early when `signal` is aborted.
 *
 * @throws UserError when it fails; by then it has printed the reason itself.
 */
export function compose(
  home: string,
  args: readonly string[],
  options: { says: 'progress' | 'result'; signal?: AbortSignal },
): Promise<void> {
  const files = ['--file', join(PROJECT_ROOT, 'docker-compose.yml'), '--env-file', credentialsFile(home)]
  const given = ['compose', ...files, '--profile', 'infra', ...args]
  return new Promise((resolve, reject) => {
    const child = spawn('docker', given, { stdio: ['ignore', options.says === 'result' ? 'inherit' : 2, 'inherit'] })
    options.signal?.addEventListener('abort', () => child.kill(), { once: true })
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0 || options.signal?.aborted === true) resolve()
      else reject(composeFailed(args[0], code))
    })
  })
}

function composeFailed(word: string, code: number | null): UserError {
  return new UserError(
    `docker compose ${word} ended with ${code}; its message is above. ` +
      `To do without Docker, run: fd services ${word} --native`,
  )
}
