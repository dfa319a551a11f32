import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { UserError } from '../../configs/user-error.ts'

/** What happened to the files of a project. */
export interface Written {
  written: string[]
  /** Files that were there already, and stay as they are. */
  kept: string[]
}

/**
 * Writes files into a folder, which is made when missing.
 *
 * @param files content by path within the folder.
 * @param must of these, the files that may not be there already.
 * @throws UserError when one of them is, before anything is written.
 */
export function writeFiles(root: string, files: Record<string, string>, must: readonly string[]): Written {
  const there = must.find((name) => existsSync(join(root, name)))
  if (there !== undefined) {
    throw new UserError(`${join(root, there)} is there already, and nothing is overwritten. Give another --name.`)
  }
  const result: Written = { written: [], kept: [] }
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name)
    if (existsSync(path)) {
      if (readFileSync(path, 'utf8') !== text) result.kept.push(name)
      continue
    }
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    result.written.push(name)
  }
  return result
}

/** How a project names a file: from its folder, or in full where that lies far away. */
export function pathFrom(root: string, file: string): string {
  const path = relative(root, resolve(file))
  return path.startsWith(join('..', '..', '..')) ? resolve(file) : path
}
