/** The part of WebAssembly's JavaScript interface that is used here. TypeScript declares it for browsers only. */
declare namespace WebAssembly {
  class Memory {
    /** Pages of 65,536 bytes. */
    constructor(size: { initial: number; maximum: number; shared: true })
    readonly buffer: SharedArrayBuffer
    /** @throws RangeError beyond the maximum. */
    grow(pages: number): number
  }
  interface Module {
    readonly [Symbol.toStringTag]: 'WebAssembly.Module'
  }
  class Instance {
    constructor(module: Module, imports: { env: { memory: Memory } })
    readonly exports: object
  }
  function compile(bytes: Uint8Array<ArrayBuffer>): Promise<Module>
}
