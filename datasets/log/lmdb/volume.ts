import { join } from 'node:path'
import {
  explained,
  openEnvironment,
  type Bytes,
  type Environment,
  type EnvironmentOptions,
} from '../../../configs/connections/lmdb.ts'
import { openBell, type Bell } from './bell.ts'

/** An LMDB environment of the log with the bell that is rung after every commit to it. Writers of one volume wait for each other; of two, they do not. */
export interface Volume {
  environment: Environment
  bell: Bell
  /** A named database, opened once. Not to be called for the first time inside a write. */
  database(name: string): Bytes
  /** One write transaction; the bell rings when it is done. */
  write<T>(action: () => T): T
  close(): Promise<void>
}

/** Opens the volume in `folder`, making it when missing. @throws UserError as `openEnvironment`. */
export function openVolume(folder: string, options: EnvironmentOptions): Volume {
  const environment = openEnvironment(folder, options)
  const bell = bellOf(folder)
  const databases = new Map<string, Bytes>()
  return {
    environment,
    bell,
    database(name) {
      const opened = databases.get(name) ?? environment.database(name)
      databases.set(name, opened)
      return opened
    },
    write(action) {
      const result = environment.write(action)
      bell.ring()
      return result
    },
    async close() {
      bell.close()
      await environment.close()
    },
  }
}

function bellOf(folder: string): Bell {
  const file = join(folder, 'bell')
  try {
    return openBell(file)
  } catch (error) {
    throw explained(error, file)
  }
}
