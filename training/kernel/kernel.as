// The loops of the tree kernel, in AssemblyScript. It has a suffix of its own since it is no TypeScript: sizes, loads
// and stores are WebAssembly's. `kernel.ts` says what each function does and what it is given. The twins do the same
// in plain TypeScript, to the last bit. Addresses are bytes in the one shared memory. Nothing is allocated here and
// nothing is kept.

export * from './draw'
export * from './rows'
export * from './search'
export * from './score'
