import { resolve } from 'node:path'
import { PROJECT_ROOT } from '../config.ts'

/** Where the published data sets lie that tests and benchmarks use when they are there: beside the project. */
export const REAL_DATA = resolve(PROJECT_ROOT, '../shared/data')
