import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PROJECT_ROOT, readConfig, type ServiceName } from '../../configs/config.ts'
import { configuredServices } from '../services/configured-services.ts'
import { serviceFolder, startService, stopService } from '../services/lifecycle.ts'
import { freePort, portIsFree, runningProcess, startOf } from '../services/process.ts'
import type { Service } from '../services/service.ts'

/** Servers of a test's own, which it may stop, kill and start again without harm to others. */
export interface OwnServices extends AsyncDisposable {
  get(name: ServiceName): Service
  /** Where a server keeps its data. */
  folder(name: ServiceName): string
  /** Starts the named ones, all at once when none is named, and waits until they answer. */
  start(...names: ServiceName[]): Promise<void>
  /** Ends one as `fd services down` does. */
  stop(name: ServiceName): Promise<void>
  /** Ends one as a crash does: SIGKILL to its whole group. */
  kill(name: ServiceName): Promise<void>
}

/** Ends servers whose home is given, and removes it, when its stdin closes: that is, when its parent has ended, however it did. */
const GUARD = `
  import { rmSync, readdirSync } from 'node:fs'
  const [module, home] = process.argv.slice(1)
  const { killProcess } = await import(module)
  process.stdin.resume().on('close', () => {
    for (const name of readdirSync(home + '/services', { withFileTypes: true })) if (name.isDirectory()) killProcess(home + '/services/' + name.name)
    // The last threads of a killed server may still write.
    setTimeout(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }), 1000)
  })`

/**
 * The named servers of configs/services.yaml in a home of their own and on free ports; none runs yet.
 *
 * They are stopped at the end of the scope that holds them, and by a process that watches over us should we not get there.
 */
export async function ownServices(...names: ServiceName[]): Promise<OwnServices> {
  const home = mkdtempSync(join(tmpdir(), 'fd-own-services-'))
  const config = readConfig(join(PROJECT_ROOT, 'configs', 'services.yaml'), {})
  const { redis, kafka, mlflow, s3 } = config.services
  const all = {
    redis: redis && { ...redis, port: await freePort() },
    kafka: kafka && { ...kafka, port: await freePort(), controllerPort: await freePort() },
    mlflow: mlflow && { ...mlflow, port: await freePort() },
    s3: s3 && { ...s3, port: await freePort() },
  }
  const services = await configuredServices({
    ...config,
    home,
    services: Object.fromEntries(names.map((name) => [name, all[name]])),
  })
  const guard = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--disable-warning=ExperimentalWarning',
      '--eval',
      GUARD,
      join(import.meta.dirname, '../services/process.ts'),
      home,
    ],
    {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    },
  )
  const get = (name: ServiceName): Service => {
    const found = services.find((service) => service.name === name)
    if (found === undefined) throw new Error(`this test has no ${name}`)
    return found
  }
  const folder = (name: ServiceName): string => serviceFolder(home, name)
  return {
    get,
    folder,
    start: async (...wanted) =>
      void (await Promise.all((wanted.length === 0 ? names : wanted).map((name) => startService(get(name), home)))),
    stop: async (name) => void (await stopService(get(name), home)),
    kill: async (name) => {
      const running = runningProcess(folder(name))
      if (running === undefined) throw new Error(`${name} does not run`)
      process.kill(-running.pid, 'SIGKILL')
      // The first thread of a process is gone a little before the last, and with it the sockets.
      while (startOf(running.pid) === running.started || !(await portIsFree(get(name).port))) await sleep(10)
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(services.map((service) => stopService(service, home)))
      guard.kill()
      rmSync(home, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
