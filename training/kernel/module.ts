import { kernelBytes } from './build.ts'
import type { Kernel } from './kernel.ts'
import { twinKernel } from './twin.ts'

/** Which kernel does the work. The compiled one is several times faster; the twin is what tests compare it with. */
export type KernelKind = 'compiled' | 'twin'

/** What `openKernel` needs, in this thread or another: the compiled module, or undefined for the twin. */
export async function kernelModule(kind: KernelKind): Promise<WebAssembly.Module | undefined> {
  return kind === 'twin' ? undefined : WebAssembly.compile(await kernelBytes())
}

/** Opens a kernel that works in `memory`. */
export function openKernel(module: WebAssembly.Module | undefined, memory: WebAssembly.Memory): Kernel {
  return module === undefined
    ? twinKernel(memory)
    : (new WebAssembly.Instance(module, { env: { memory } }).exports as Kernel)
}
