import { resolve } from 'node:path'
import { PROJECT_ROOT } from '../config.ts'

/** The folder of published data sets beside the project; tests and benchmarks use it when it is there. */
export const REAL_DATA = resolve(PROJECT_ROOT, '../shared/data')
