#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
import { cacheCompiled } from '../configs/compile-cache.ts'

cacheCompiled()
const { main } = await import('./program.ts')
await main()
