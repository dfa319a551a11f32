import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { credentialsFile } from '../../configs/credentials.ts'
import { UserError } from '../../configs/user-error.ts'

const ENGINE_ANSWER_MS = 10_000

/** Whether a Docker engine answers, with compose. The client alone, without an engine, is not one. */
export function hasDockerEngine(): boolean {
  return dockerAnswers('info') && dockerAnswers('compose', 'version')
}

function dockerAnswers(...args: string[]): boolean {
  return spawnSync('docker', args, { stdio: 'ignore', timeout: ENGINE_ANSWER_MS }).status === 0
}

/**
 * Runs `docker compose` on the project's file with the home's credentials. What it says goes to stderr, or to stdout where
 * it is the result. Ends early when `signal` is aborted.
 *
 * @throws UserError when it fails; it has said why.
 */
export function compose(
  home: string,
  args: readonly string[],
  options: { says: 'progress' | 'result'; signal?: AbortSignal },
): Promise<void> {
  const given = [
    'compose',
    '--file',
    join(PROJECT_ROOT, 'docker-compose.yml'),
    '--env-file',
    credentialsFile(home),
    '--profile',
    'infra',
    ...args,
  ]
  return new Promise((resolve, reject) => {
    const child = spawn('docker', given, { stdio: ['ignore', options.says === 'result' ? 'inherit' : 2, 'inherit'] })
    options.signal?.addEventListener('abort', () => child.kill(), { once: true })
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0 || options.signal?.aborted === true) resolve()
      else
        reject(
          new UserError(
            `docker compose ${args[0]} ended with ${code}; its message is above. To do without Docker, run: fd services ${args[0]} --native`,
          ),
        )
    })
  })
}
