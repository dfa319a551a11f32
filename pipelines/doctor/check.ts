import type { Config } from '../../configs/config.ts'
import type { Finding, Inspection } from '../../configs/finding.ts'

/** Looks at one thing that must work. An error that it throws counts as a finding that is broken. */
export type Check = (config: Config, inspection: Inspection) => Promise<Finding[]>
