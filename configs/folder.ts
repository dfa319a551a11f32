import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { errorCode, UserError } from './user-error.ts'

/**
 * Makes a folder and those above it that are missing, one after the other. `mkdirSync` with `recursive` never returns
 * on a file system that takes no folders, such as /proc.
 *
 * @param mode permissions of the folders that are made, less the umask. Default: 0o777.
 * @throws UserError where the file system takes no folder. Other faults (no permission, a file in the way) are thrown
 * as the system tells them.
 */
export function makeFolder(path: string, mode?: number): void {
  const missing: string[] = []
  let folder = resolve(path)
  for (; !existsSync(folder); folder = dirname(folder)) missing.push(folder)
  if (missing.length === 0 && !statSync(folder).isDirectory()) mkdirSync(folder, mode)
  for (const each of missing.toReversed()) makeOne(each, mode)
}

function makeOne(folder: string, mode: number | undefined): void {
  try {
    mkdirSync(folder, mode)
  } catch (error) {
    // Another process may have made it at the same moment.
    if (errorCode(error) === 'EEXIST' && existsSync(folder)) return
    if (errorCode(error) !== 'ENOENT') throw error
    throw new UserError(
      `${folder} cannot be made: ${dirname(folder)} takes no folders. Choose another place, such as FD_HOME=.fd`,
      { cause: error },
    )
  }
}
