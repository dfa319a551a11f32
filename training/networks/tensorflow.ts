import { createRequire } from 'node:module'
import { dirname, sep } from 'node:path'
import { errorMessage, UserError } from '../../configs/user-error.ts'

/** The tensors, operations and optimizers of TensorFlow.js. */
export type TensorFlow = typeof import('@tensorflow/tfjs-core')

/** A package with TensorFlow's C library, which a user may install beside the project. */
const NATIVE = '@tensorflow/tfjs-node'

/**
 * TensorFlow.js, ready to compute. It runs on the C library when `@tensorflow/tfjs-node` is installed, else on
 * WebAssembly from the package's own files. WebAssembly runs on one thread, so that sums are added in one order. The
 * first call takes about a second to load it.
 *
 * @throws UserError when tfjs-node is installed but cannot be loaded.
 */
export async function openTensorFlow(): Promise<TensorFlow> {
  const tensorflow = await import('@tensorflow/tfjs-core')
  // Only imported because it registers the gradients of the operations. Its layers are not used.
  await import('@tensorflow/tfjs-layers')
  await tensorflow.setBackend((await loadNative()) ? 'tensorflow' : await loadWasm(tensorflow))
  return tensorflow
}

async function loadNative(): Promise<boolean> {
  const require = createRequire(import.meta.url)
  try {
    require.resolve(NATIVE)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return false
    throw error
  }
  try {
    await import(NATIVE)
    return true
  } catch (error) {
    const advice = `Install it again, or do without it: npm uninstall ${NATIVE}`
    throw new UserError(`${NATIVE} is installed but cannot be loaded: ${errorMessage(error)}. ${advice}`, {
      cause: error,
    })
  }
}

async function loadWasm(tensorflow: TensorFlow): Promise<'wasm'> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm')
  setWasmPaths(dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm')) + sep)
  tensorflow.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
  // Loading the backend adds listeners for the uncaught errors of the whole process, which throw them again from its
  // code. They are removed, so that the process handles its errors as before.
  const before = uncaughtListeners()
  await tensorflow.setBackend('wasm')
  for (const [event, listener] of uncaughtListeners()) {
    if (!before.some(([, known]) => known === listener)) process.off(event, listener)
  }
  return 'wasm'
}

type Listener = (...args: unknown[]) => void

/** All listeners of this process for errors that nobody caught. */
function uncaughtListeners(): [event: string, listener: Listener][] {
  const events = ['uncaughtException', 'unhandledRejection']
  return events.flatMap((event) =>
    process.rawListeners(event).map((listener): [string, Listener] => [event, listener as Listener]),
  )
}
