// The loops of the tree kernel, in AssemblyScript (its own suffix, since it is no TypeScript: sizes, loads and stores are
// WebAssembly's). `kernel.ts` says what each function does and what it is given; its twins do the same in plain TypeScript, to the
// last bit. Addresses are bytes in the one shared memory. Nothing is allocated here and nothing kept.

export * from './draw'
export * from './rows'
export * from './search'
export * from './score'
