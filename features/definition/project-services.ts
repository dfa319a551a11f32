import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UserError } from '../../configs/user-error.ts'
import type { FeatureService } from '../view/view.ts'
import { loadService } from './project-file.ts'

/** A file of a project's folder of features: its service, or why it has none. */
export type ServiceFile = { file: string } & ({ service: FeatureService } | { fault: UserError })

/**
 * Loads the files of a project's folder of features, in the order of their names: each `*.ts` defines one service.
 *
 * @param reserved names that a service of a project may not have, because fd has services of these names.
 */
export function serviceFiles(folder: string | undefined, reserved: readonly string[]): ServiceFile[] {
  if (folder === undefined || !existsSync(folder)) return []
  const taken = new Map<string, string>()
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts') && !/\.(d|test)\.ts$/.test(name))
    .toSorted()
    .map((name) => {
      const file = join(folder, name)
      try {
        const service = loadService(file, dirname(folder))
        checkName(service.name, file, taken, reserved)
        taken.set(service.name, file)
        return { file, service }
      } catch (error) {
        if (error instanceof UserError) return { file, fault: error }
        throw error
      }
    })
}

/** @throws UserError when the name means another service already. */
function checkName(name: string, file: string, taken: ReadonlyMap<string, string>, reserved: readonly string[]): void {
  const other = taken.get(name)
  if (other !== undefined) {
    throw new UserError(`${file} defines the service "${name}", as ${other} does. Give one of them another name.`)
  }
  if (!reserved.includes(name)) return
  throw new UserError(`${file} defines the service "${name}", which comes with fd. Give it another name: my-${name}`)
}
