import { ownServices, type OwnServices } from '../testing/own-services.ts'
import { makeWorld, type World } from '../testing/world.ts'

/** Where a soak takes place. Disposing of it ends its processes and servers; the world's folder stays. */
export interface SoakPlace extends AsyncDisposable {
  world: World
  /** Place of the event log. */
  log: string
  /** The servers, where it has any. */
  servers?: OwnServices
}

const SIZE = { customers: 200, terminals: 300, days: 60, liveDays: 1 }
/** Servers that are killed come back within seconds: longer than this is a fault. */
const PATIENCE_SECONDS = 60
const SESSION_SECONDS = 6

/** Log and store in the files of the world's home. */
export async function embedded(size = SIZE): Promise<SoakPlace> {
  const world = await makeWorld(size)
  return { world, log: `lmdb:${world.home}/log`, [Symbol.asyncDispose]: () => world.killAll() }
}

/** Log on a Kafka and store on a Redis of its own. */
export async function onServices(size = SIZE): Promise<SoakPlace> {
  const servers = await ownServices('kafka', 'redis')
  try {
    await servers.start('kafka', 'redis')
    const log = `${servers.get('kafka').url}?session=${SESSION_SECONDS}&patience=${PATIENCE_SECONDS}`
    const store = `${servers.get('redis').url}?outageMs=${PATIENCE_SECONDS * 1000}`
    const world = await makeWorld({ ...size, environment: { FD_EVENT_LOG: log, FD_ONLINE_STORE: store } })
    const end = async (): Promise<void> => {
      await world.killAll()
      await servers[Symbol.asyncDispose]()
    }
    return { world, log, servers, [Symbol.asyncDispose]: end }
  } catch (error) {
    await servers[Symbol.asyncDispose]()
    throw error
  }
}
