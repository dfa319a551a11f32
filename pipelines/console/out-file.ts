import { existsSync, realpathSync, statSync } from 'node:fs'
import { dirname, resolve, sep } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'

/**
 * The file that `--out` names, with its whole path. Missing folders are made below the present folder, the project and
 * `home` only: a slip in a path outside of them would leave folders that nobody asked for.
 *
 * @throws UserError for a missing folder elsewhere, and for a folder where a file is meant.
 */
export function outFile(path: string, home: string): string {
  const file = resolve(path)
  if (existsSync(file) && statSync(file).isDirectory()) {
    throw new UserError(`${file} is a folder. Name a file in it: --out ${file}${sep}features.parquet`)
  }
  const folder = dirname(file)
  if (existsSync(folder)) return file
  const place = realpathSync(nearest(folder))
  const own = [process.cwd(), PROJECT_ROOT, nearest(home)].map((each) => realpathSync(each))
  if (own.some((each) => place === each || place.startsWith(each + sep)) && place !== sep) return file
  throw new UserError(`There is no folder ${folder}. Make it first: mkdir -p ${folder}`)
}

/** The nearest folder above that exists. */
function nearest(path: string): string {
  let folder = resolve(path)
  while (!existsSync(folder)) folder = dirname(folder)
  return folder
}
