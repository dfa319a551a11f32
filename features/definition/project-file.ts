import { readFileSync } from 'node:fs'
import { createRequire, registerHooks } from 'node:module'
import { join, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { FeatureService } from '../view/view.ts'
import { readService } from './service-schema.ts'

/** What a project's files import the builders as. */
const BUILDERS = 'fd/features'
const BUILDERS_URL = pathToFileURL(join(import.meta.dirname, 'builders.ts')).href

const load = createRequire(import.meta.url)
/** Folders of projects whose imports of the builders are resolved. */
const resolved = new Set<string>()
/** By file: why it does not run. */
const failures = new Map<string, UserError>()

/**
 * The service that a TypeScript file of a project exports by default. Node runs the file as it is, without its types.
 * `fd/features` means the builders of this fd, whether or not the project has installed it.
 *
 * @param root the project's folder, in which that holds.
 * @throws UserError with file and line, when the file does not run, or exports anything else.
 */
export function loadService(file: string, root: string): FeatureService {
  resolveBuilders(root)
  const loaded = loadOnce(file, root)
  if (loaded.default !== undefined) return readService(loaded.default, file)
  throw new UserError(
    `${file} exports no service. Write: export default service('NAME', 'DESCRIPTION', [ … ]). ` +
      'What is only shared by services belongs in a folder below.',
  )
}

/** Node runs a module once; of one that failed it says something else the next time. */
function loadOnce(file: string, root: string): { default?: unknown } {
  const failed = failures.get(file)
  if (failed !== undefined) throw failed
  try {
    return load(file) as { default?: unknown }
  } catch (error) {
    const fault = new UserError(failure(error, file, root), { cause: error })
    failures.set(file, fault)
    throw fault
  }
}

function resolveBuilders(root: string): void {
  if (resolved.has(root)) return
  resolved.add(root)
  const inside = pathToFileURL(root + sep).href
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === BUILDERS && context.parentURL?.startsWith(inside) === true
        ? { url: BUILDERS_URL, shortCircuit: true }
        : next(specifier, context),
  })
}

/** Why a file does not load: with the line and a caret where it is known. */
function failure(error: unknown, file: string, root: string): string {
  if (!(error instanceof Error)) return `${file} does not load: it throws ${JSON.stringify(error)}.`
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ERR_REQUIRE_ASYNC_MODULE') return `${file} does not load: a definition cannot wait (await at its top).`
  const stack = error.stack ?? ''
  // Node puts the line of a fault of syntax before the message.
  const [place, ...lines] = stack.split('\n\n')[0].split('\n')
  if (error.name === 'SyntaxError' && /:\d+$/.test(place)) {
    return `${plainPath(place)}: ${error.message}\n${lines.slice(0, 3).join('\n')}`
  }
  const frame = stack
    .split('\n')
    .map(frameOf)
    .find((found) => found?.file.startsWith(root + sep))
  if (frame === undefined) return `${file} does not load: ${errorMessage(error)}${hint(code)}`
  const kind = error.name === 'UserError' ? '' : `${error.name}: `
  return `${frame.file}:${frame.line}:${frame.column}: ${kind}${error.message}\n${sourceLine(frame)}`
}

interface Frame {
  file: string
  line: number
  column: number
}

/** `at count (file:///shop/features/shop.ts:4:7)`. */
function frameOf(line: string): Frame | undefined {
  const [, url, at, column] = /(file:\/\/\/.+):(\d+):(\d+)\)?$/.exec(line) ?? []
  return url === undefined ? undefined : { file: fileURLToPath(url), line: Number(at), column: Number(column) }
}

function plainPath(place: string): string {
  return place.startsWith('file:') ? fileURLToPath(place) : place
}

function hint(code: string | undefined): string {
  if (code !== 'ERR_MODULE_NOT_FOUND') return ''
  return `. The builders are imported as '${BUILDERS}'; a file by its path with its ending, './shared/windows.ts'.`
}

/** The line of a frame, and a caret below the column. */
function sourceLine({ file, line, column }: Frame): string {
  const number = `  ${line} | `
  const text = readFileSync(file, 'utf8').split('\n')[line - 1] ?? ''
  return `${number}${text}\n${' '.repeat(number.length + column - 1)}^`
}
