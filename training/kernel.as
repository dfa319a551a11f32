// The loops of the tree kernel, in AssemblyScript (its own suffix, since it is no TypeScript: sizes, loads and stores are
// WebAssembly's). `kernel.ts` says what each function does and what it is given; its twins do the same in plain TypeScript, to the
// last bit. Addresses are bytes in the one shared memory. Nothing is allocated here and nothing kept.

export * from './kernel-draw'
export * from './kernel-rows'
export * from './kernel-search'
export * from './kernel-score'
