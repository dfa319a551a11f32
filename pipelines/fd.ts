#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { cacheCompiled } from '../configs/process/compile-cache.ts'
import { keepYoungGenerationSmall } from '../configs/process/young-generation.ts'

// First, since what was compiled under other flags is not read from the cache.
if (process.argv[2] === 'train') keepYoungGenerationSmall()
cacheCompiled()
const { main } = await import('./program.ts')
await main()
