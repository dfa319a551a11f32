import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { canInstallPackages, installPackages, isInstalled, markInstalled, onPath, run } from './install.ts'

/** The interpreter of a virtual environment. */
export function pythonOf(folder: string): string {
  return join(folder, 'bin', 'python')
}

/**
 * Makes a virtual environment in `folder` with `requirements` (`name==version`) from PyPI. The remains of an
 * interrupted installation are removed first; a complete one is kept as it is.
 *
 * @param options.exact installs these packages and none of their dependencies.
 * @throws UserError when there is no Python, or with the end of pip's output.
 */
export async function installPython(
  folder: string,
  requirements: readonly string[],
  options: { exact?: boolean } = {},
): Promise<void> {
  if (isInstalled(folder)) return
  rmSync(folder, { recursive: true, force: true })
  if (onPath('python3') === undefined) await installPackages('python3-venv')
  try {
    await run('python3', ['-m', 'venv', folder])
  } catch (error) {
    // Debian's python3 comes without ensurepip.
    if (!canInstallPackages()) throw error
    await installPackages('python3-venv')
    await run('python3', ['-m', 'venv', '--clear', folder])
  }
  const quietly = ['--quiet', '--no-input', '--disable-pip-version-check']
  const alone = options.exact === true ? ['--no-deps'] : []
  await run(pythonOf(folder), ['-m', 'pip', 'install', ...quietly, ...alone, ...requirements])
  markInstalled(folder)
}
