import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { errorMessage, UserError } from '../../configs/user-error.ts'

const OUTPUT = join(import.meta.dirname, 'kernel.wasm')
/** The kernel's first file, which names the others; they have a suffix of their own. */
const ENTRY = 'kernel'
const SUFFIX = '.as'
/** What the compiler is told: SIMD, threads, a memory given from outside that may grow to all of 4 GiB, no runtime of its own. */
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
 * The bytes of the compiled kernel, `kernel.wasm`. It is made by `npm ci` and made again here when one of its sources, `*.as`, is newer.
 *
 * @throws UserError when it has to be made and cannot be.
 */
export async function kernelBytes(): Promise<Uint8Array<ArrayBuffer>> {
  if (!existsSync(OUTPUT) || sources().some((file) => statSync(file).mtimeMs > statSync(OUTPUT).mtimeMs)) await build()
  return Uint8Array.from(readFileSync(OUTPUT))
}

function sources(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => join(import.meta.dirname, name))
}

async function build(): Promise<void> {
  try {
    const bytes = await compile(
      Object.fromEntries(sources().map((file) => [basename(file, SUFFIX), readFileSync(file, 'utf8')])),
    )
    // Renamed into place, so that processes which build at the same time never read half a file.
    const own = `${OUTPUT}.${process.pid}`
    writeFileSync(own, bytes)
    renameSync(own, OUTPUT)
  } catch (error) {
    throw new UserError(
      `The tree kernel training/kernel/kernel.wasm is ${existsSync(OUTPUT) ? 'older than its sources, training/kernel/*.as,' : 'missing'} and cannot be made: ${errorMessage(error)}. Run: npm ci`,
      { cause: error },
    )
  }
}

/**
 * Compiles files given by name, without suffix.
 *
 * @throws Error with the compiler's messages when they do not compile.
 */
export async function compile(files: Record<string, string>): Promise<Uint8Array> {
  const { main } = await import('assemblyscript/asc')
  const written = new Map<string, Uint8Array | string>()
  // The compiler asks for files with the suffix .ts only.
  const { error, stderr } = await main([`${ENTRY}.ts`, '--outFile', 'kernel.wasm', ...OPTIONS], {
    readFile: (name) => files[basename(name, '.ts')] ?? null,
    writeFile: (name, contents) => void written.set(name, contents),
    listFiles: () => [],
  })
  const bytes = written.get('kernel.wasm')
  if (error !== null || !(bytes instanceof Uint8Array))
    throw new Error(`AssemblyScript: ${stderr.toString().trim()}`, { cause: error })
  return bytes
}

if (process.argv[1] === import.meta.filename) await kernelBytes()
