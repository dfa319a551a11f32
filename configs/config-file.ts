import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { PROJECT_FILE, projectConfig } from './project.ts'
import { errorMessage, UserError } from './user-error.ts'

/**
 * The keys of `file` over those of the project's own. Without a project `usual` stands for a file that is not given,
 * and need not be there.
 *
 * @throws UserError when a file is missing, or holds no keys with values.
 */
export function readConfigFiles(
  file: string | undefined,
  project: string | undefined,
  usual: string,
): Record<string, unknown> {
  const own = project === undefined ? {} : projectConfig(project, readKeys(join(project, PROJECT_FILE)))
  if (file !== undefined) return { ...own, ...readGiven(file) }
  return project === undefined && existsSync(usual) ? readKeys(usual) : own
}

function readGiven(path: string): Record<string, unknown> {
  if (existsSync(path)) return readKeys(path)
  throw new UserError(`No configuration file at ${path}. Leave out --config to use the embedded default.`)
}

function readKeys(path: string): Record<string, unknown> {
  const document = parseYaml(path) ?? {}
  if (typeof document === 'object' && !Array.isArray(document)) return document as Record<string, unknown>
  throw new UserError(`${path} holds ${JSON.stringify(document)}, not keys with values. Write for example: home: .fd`)
}

function parseYaml(path: string): unknown {
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UserError(`${path} is not YAML: ${errorMessage(error)}`, { cause: error })
  }
}
