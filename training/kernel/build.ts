import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { errorMessage, UserError } from '../../configs/user-error.ts'

const OUTPUT = join(import.meta.dirname, 'kernel.wasm')
/** The kernel's first file, which imports the others. The suffix is their own, since they are no TypeScript. */
const ENTRY = 'kernel'
const SUFFIX = '.as'
/**
 * Compiler options: SIMD and threads, an imported memory that may grow to 4 GiB, and no runtime of AssemblyScript's.
 */
const OPTIONS = [
  '-O3',
  '--noAssert',
  '--runtime',
  'stub',
  '--enable',
  'simd',
  '--enable',
  'threads',
  '--importMemory',
  '--noExportMemory',
  '--sharedMemory',
  '--initialMemory',
  '1',
  '--maximumMemory',
  '65536',
]

/**
 * The bytes of the compiled kernel, `kernel.wasm`. `npm ci` compiles it; it is compiled again here when it is missing
 * or one of its sources, `*.as`, is newer.
 *
 * @throws UserError when it has to be compiled and cannot be.
 */
export async function kernelBytes(): Promise<Uint8Array<ArrayBuffer>> {
  if (!existsSync(OUTPUT) || isOld()) await build()
  return Uint8Array.from(readFileSync(OUTPUT))
}

function isOld(): boolean {
  return sources().some((file) => statSync(file).mtimeMs > statSync(OUTPUT).mtimeMs)
}

function sources(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => join(import.meta.dirname, name))
}

async function build(): Promise<void> {
  try {
    const files = Object.fromEntries(sources().map((file) => [basename(file, SUFFIX), readFileSync(file, 'utf8')]))
    const bytes = await compile(files)
    // Renamed into place, so that processes that build at the same time never read half a file.
    const own = `${OUTPUT}.${process.pid}`
    writeFileSync(own, bytes)
    renameSync(own, OUTPUT)
  } catch (error) {
    const problem = existsSync(OUTPUT) ? 'older than its sources, training/kernel/*.as,' : 'missing'
    throw new UserError(
      `The tree kernel training/kernel/kernel.wasm is ${problem} and cannot be made: ` +
        `${errorMessage(error)}. Run: npm ci`,
      { cause: error },
    )
  }
}

/**
 * Compiles the texts of files, given by name without suffix. Returns the bytes of the module.
 *
 * @throws Error with the compiler's messages when they do not compile.
 */
export async function compile(files: Record<string, string>): Promise<Uint8Array> {
  const { createMemoryStream, main } = await import('assemblyscript/asc')
  const written = new Map<string, Uint8Array | string>()
  const stderr = createMemoryStream()
  // The compiler asks for files with the suffix .ts only.
  const { error } = await main([`${ENTRY}.ts`, '--outFile', 'kernel.wasm', ...OPTIONS], {
    readFile: (name) => files[basename(name, '.ts')] ?? null,
    writeFile: (name, contents) => void written.set(name, contents),
    listFiles: () => [],
    stderr,
  })
  const bytes = written.get('kernel.wasm')
  if (error === null && bytes instanceof Uint8Array) return bytes
  throw new Error(`AssemblyScript: ${stderr.toString().trim()}`, { cause: error })
}

if (process.argv[1] === import.meta.filename) await kernelBytes()
