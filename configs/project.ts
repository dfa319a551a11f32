import { existsSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { UserError } from './user-error.ts'

/** The file that makes a folder a project. It holds the project's configuration. */
export const PROJECT_FILE = 'fd.yaml'

/**
 * Finds the project of this process: `given` (`--project`), else FD_PROJECT, else the nearest folder with an `fd.yaml`,
 * from the working directory upwards. Processes that this one starts find the same, wherever they run.
 *
 * @throws UserError when the folder that is named holds no project.
 */
export function enterProject(given: string | undefined): void {
  const named = given ?? process.env['FD_PROJECT']
  const root = named === undefined || named === '' ? findProject(process.cwd()) : requireProject(named)
  if (root !== undefined) process.env['FD_PROJECT'] = root
}

/** The nearest folder with an `fd.yaml`, from `folder` upwards. */
export function findProject(folder: string): string | undefined {
  if (existsSync(join(folder, PROJECT_FILE))) return folder
  const above = dirname(folder)
  return above === folder ? undefined : findProject(above)
}

/** The folder with its whole path. @throws UserError when it holds no project. */
export function requireProject(folder: string): string {
  const root = resolve(folder)
  if (existsSync(join(root, PROJECT_FILE))) return root
  throw new UserError(`There is no project in ${root}: it has no ${PROJECT_FILE}. Make one: fd init ${folder}`)
}

/** What a project's configuration is where its file says nothing else. Paths are relative to the project. */
const DEFAULTS = { home: '.fd', datasetFolder: 'datasets', featureFolder: 'features' }
const PATHS = ['home', 'cache', 'datasetFolder', 'featureFolder']
const EMBEDDED = ['eventLog', 'onlineStore', 'registry', 'lake']

/** The content of a project's file with its paths made whole, and the usual folders where it names none. */
export function projectConfig(root: string, document: Record<string, unknown>): Record<string, unknown> {
  const config: Record<string, unknown> = { ...DEFAULTS, ...document }
  for (const key of PATHS) config[key] = within(root, config[key])
  for (const key of EMBEDDED) config[key] = urlWithin(root, config[key])
  const { datasets } = config
  if (isRecord(datasets)) {
    config['datasets'] = Object.fromEntries(
      Object.entries(datasets).map(([name, place]) => [
        name,
        isRecord(place) ? { ...place, path: within(root, place['path']) } : place,
      ]),
    )
  }
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function within(root: string, path: unknown): unknown {
  return typeof path === 'string' ? resolve(root, path) : path
}

/** `lmdb:FOLDER` and its like; any other URL names no folder of this machine. */
function urlWithin(root: string, url: unknown): unknown {
  const [, scheme, path] = (typeof url === 'string' && /^(lmdb:|sqlite:|file:)(.+)$/.exec(url)) || []
  return path === undefined || isAbsolute(path) ? url : scheme + resolve(root, path)
}
