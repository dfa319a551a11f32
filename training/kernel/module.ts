import { kernelBytes } from './build.ts'
import type { Kernel } from './kernel.ts'
import { twinKernel } from './twin.ts'

/** Which kernel does the work: the compiled one is several times faster, the twin is what it is compared with. */
export type KernelKind = 'compiled' | 'twin'

/** What opens a kernel, in this thread or another: the compiled module, or undefined for the twin. */
export async function kernelModule(kind: KernelKind): Promise<WebAssembly.Module | undefined> {
  return kind === 'twin' ? undefined : WebAssembly.compile(await kernelBytes())
}

/** A kernel over `memory`. */
export function openKernel(module: WebAssembly.Module | undefined, memory: WebAssembly.Memory): Kernel {
  return module === undefined
    ? twinKernel(memory)
    : (new WebAssembly.Instance(module, { env: { memory } }).exports as Kernel)
}
