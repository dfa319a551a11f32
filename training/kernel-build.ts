import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorMessage, UserError } from '../configs/user-error.ts'

const SOURCE = join(import.meta.dirname, 'kernel.as')
const OUTPUT = join(import.meta.dirname, 'kernel.wasm')
/** What the compiler is told: SIMD, threads, a memory given from outside that may grow to all of 4 GiB, no runtime of its own. */
const OPTIONS = [
  '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--enable', 'threads',
  '--importMemory', '--noExportMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536',
]

/**
 * The bytes of the compiled kernel, `kernel.wasm`. It is made by `npm ci` and made again here when `kernel.as` is newer.
 *
 * @throws UserError when it has to be made and cannot be.
 */
export async function kernelBytes(): Promise<Uint8Array<ArrayBuffer>> {
  if (!existsSync(OUTPUT) || statSync(OUTPUT).mtimeMs < statSync(SOURCE).mtimeMs) await build()
  return Uint8Array.from(readFileSync(OUTPUT))
}

async function build(): Promise<void> {
  try {
    const bytes = await compile(readFileSync(SOURCE, 'utf8'))
    // Renamed into place, so that processes which build at the same time never read half a file.
    const own = `${OUTPUT}.${process.pid}`
    writeFileSync(own, bytes)
    renameSync(own, OUTPUT)
  } catch (error) {
    throw new UserError(`The tree kernel training/kernel.wasm is ${existsSync(OUTPUT) ? 'older than kernel.as' : 'missing'} and cannot be made: ${errorMessage(error)}. Run: npm ci`, { cause: error })
  }
}

/** @throws Error with the compiler's messages when `source` does not compile. */
export async function compile(source: string): Promise<Uint8Array> {
  const { main } = await import('assemblyscript/asc')
  const written = new Map<string, Uint8Array | string>()
  // The compiler knows files by the suffix .ts only; this one file is handed to it under such a name.
  const { error, stderr } = await main(['kernel.ts', '--outFile', 'kernel.wasm', ...OPTIONS], {
    readFile: (name) => (name === 'kernel.ts' ? source : null),
    writeFile: (name, contents) => void written.set(name, contents),
    listFiles: () => [],
  })
  const bytes = written.get('kernel.wasm')
  if (error !== null || !(bytes instanceof Uint8Array)) throw new Error(`AssemblyScript: ${stderr.toString().trim()}`, { cause: error })
  return bytes
}

if (process.argv[1] === import.meta.filename) await kernelBytes()
