import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PROJECT_ROOT, readConfig, type Config, type ServiceName } from '../../configs/config.ts'
import { configuredServices } from '../services/configured-services.ts'
import { serviceFolder, startService, stopService } from '../services/lifecycle.ts'
import { freePort, portIsFree, runningProcess, startOf } from '../services/process.ts'
import type { Service } from '../services/service.ts'

/** Servers for one test alone, which it may stop, kill and start again without harm to others. */
export interface OwnServices extends AsyncDisposable {
  get(name: ServiceName): Service
  /** Where a server keeps its data. */
  folder(name: ServiceName): string
  /** Starts the named servers side by side, or all when none is named, and waits until they answer. */
  start(...names: ServiceName[]): Promise<void>
  /** Ends a server as `fd services down` does. */
  stop(name: ServiceName): Promise<void>
  /** Ends a server as a crash does: SIGKILL to its whole process group. */
  kill(name: ServiceName): Promise<void>
}

/**
 * A program that waits for the end of its stdin, and so for the end of its parent, however that comes. Then it kills
 * the servers of the given home and removes the home.
 */
const GUARD = `
  import { rmSync, readdirSync } from 'node:fs'
  const [module, home] = process.argv.slice(1)
  const { killProcess } = await import(module)
  process.stdin.resume().on('close', () => {
    for (const entry of readdirSync(home + '/services', { withFileTypes: true }))
      if (entry.isDirectory()) killProcess(home + '/services/' + entry.name)
    // The last threads of a killed server may still write.
    setTimeout(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }), 1000)
  })`

/**
 * The named servers of configs/services.yaml, in a home of their own and on free ports. None runs yet.
 *
 * They are stopped at the end of the scope that holds them. A guard process stops them if this process ends before
 * that.
 */
export async function ownServices(...names: ServiceName[]): Promise<OwnServices> {
  const home = mkdtempSync(join(tmpdir(), 'fd-own-services-'))
  const services = await configuredServices(await ownConfig(home, names))
  const guard = startGuard(home)
  const get = (name: ServiceName): Service => {
    const found = services.find((service) => service.name === name)
    if (found === undefined) throw new Error(`this test has no ${name}`)
    return found
  }
  const folder = (name: ServiceName): string => serviceFolder(home, name)
  return {
    get,
    folder,
    start: async (...wanted) => {
      const started = wanted.length === 0 ? names : wanted
      await Promise.all(started.map((name) => startService(get(name), home)))
    },
    stop: async (name) => void (await stopService(get(name), home)),
    kill: async (name) => crash(get(name), folder(name)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(services.map((service) => stopService(service, home)))
      guard.kill()
      rmSync(home, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** configs/services.yaml with the named servers only, each on a free port. */
async function ownConfig(home: string, names: readonly ServiceName[]): Promise<Config> {
  const config = readConfig(join(PROJECT_ROOT, 'configs', 'services.yaml'), {})
  const { redis, kafka, mlflow, s3 } = config.services
  const all = {
    redis: redis && { ...redis, port: await freePort() },
    kafka: kafka && { ...kafka, port: await freePort(), controllerPort: await freePort() },
    mlflow: mlflow && { ...mlflow, port: await freePort() },
    s3: s3 && { ...s3, port: await freePort() },
  }
  return { ...config, home, services: Object.fromEntries(names.map((name) => [name, all[name]])) }
}

function startGuard(home: string): ChildProcess {
  const flags = ['--input-type=module', '--disable-warning=ExperimentalWarning', '--eval', GUARD]
  const module = join(import.meta.dirname, '../services/process.ts')
  return spawn(process.execPath, [...flags, module, home], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
}

async function crash({ name, port }: Service, folder: string): Promise<void> {
  const running = runningProcess(folder)
  if (running === undefined) throw new Error(`${name} does not run`)
  process.kill(-running.pid, 'SIGKILL')
  // The first thread of a process goes a little before the last one, and only with that one the sockets.
  while (startOf(running.pid) === running.started || !(await portIsFree(port))) await sleep(10)
}
