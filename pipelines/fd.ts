#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { cacheCompiled } from '../configs/process/compile-cache.ts'
import { keepYoungGenerationSmall } from '../configs/process/young-generation.ts'

// This comes first: code that was compiled under other V8 flags is not read from the cache.
if (process.argv[2] === 'train') keepYoungGenerationSmall()
cacheCompiled()
const { main } = await import('./program.ts')
await main()
