import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { canInstallPackages, installPackages, isInstalled, markInstalled, onPath, run } from './install.ts'

/** The interpreter of a virtual environment. */
export function pythonOf(folder: string): string {
  return join(folder, 'bin', 'python')
}

/**
 * A virtual environment in `folder` with `requirements` (`name==version`) from PyPI. What was left of an installation that did
 * not end is removed first; one that did is kept as it is.
 *
 * @param options.exact installs these packages and none that they ask for.
 * @throws UserError without Python, or with pip's last words.
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
  const quietly = [
    '--quiet',
    '--no-input',
    '--disable-pip-version-check',
    ...(options.exact === true ? ['--no-deps'] : []),
  ]
  await run(pythonOf(folder), ['-m', 'pip', 'install', ...quietly, ...requirements])
  markInstalled(folder)
}
