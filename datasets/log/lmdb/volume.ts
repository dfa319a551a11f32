import { join } from 'node:path'
import {
  explained,
  openEnvironment,
  type Bytes,
  type Environment,
  type EnvironmentOptions,
} from '../../../configs/connections/lmdb.ts'
import { openBell, type Bell } from './bell.ts'

/**
 * An LMDB environment of the log, with the bell that rings after every commit to it. Writers of the same volume wait
 * for each other; writers of different volumes do not.
 */
export interface Volume {
  environment: Environment
  bell: Bell
  /** A named database, opened once. The first call for a name must not be inside a write. */
  database(name: string): Bytes
  /** Runs one write transaction, then rings the bell. */
  write<T>(action: () => T): T
  close(): Promise<void>
}

/** Opens the volume in `folder`, and creates it if it is missing. @throws UserError as `openEnvironment`. */
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
