import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceName } from '../../configs/config.ts'
import { makeFolder } from '../../configs/folder.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import {
  exclusively,
  lastLogLines,
  portIsFree,
  runningProcess,
  startOf,
  startProcess,
  stopProcess,
  type ProcessIdentity,
} from './process.ts'
import type { Service, ServiceStatus } from './service.ts'

const HEALTH_POLL_MS = 100
const LOG_LINES_OF_A_FAILURE = 15

/** `HOME/services/NAME`: data, log and process of one service. */
export function serviceFolder(home: string, name: ServiceName): string {
  return join(home, 'services', name)
}

/**
 * Starts a service and waits until it answers; does nothing when it runs already.
 *
 * @throws UserError when it is not installed, its port is taken, it ends at once (with the end of its log), or it does
 * not answer in time.
 */
export function startService(service: Service, home: string): Promise<'started' | 'already running'> {
  const folder = serviceFolder(home, service.name)
  return exclusively(folder, async () => {
    const running = runningProcess(folder)
    if (running !== undefined) {
      // An `up` that was interrupted may have left it half ready, so the steps after the start are done again.
      await untilHealthy(service, folder, running)
      await service.finish?.()
      return 'already running'
    }
    const missing = service.missing()
    if (missing !== undefined) throw new UserError(missing)
    if (!(await portIsFree(service.port))) throw portTaken(service)
    makeFolder(folder, 0o700)
    const started = await startProcess(folder, await service.prepare(folder))
    await untilHealthy(service, folder, started)
    await service.finish?.()
    return 'started'
  })
}

function portTaken({ name, port }: Service): UserError {
  return new UserError(
    `Port ${port} of 127.0.0.1, for ${name}, is taken by a program that fd did not start here. ` +
      `Stop it, or give another one as services.${name}.port in a copy of configs/services.yaml. ` +
      `To see who it is, run: ss -ltnp 'sport = :${port}'`,
  )
}

/** Ends a service, gently if it can. */
export function stopService(service: Service, home: string): Promise<'stopped' | 'killed' | 'not running'> {
  const folder = serviceFolder(home, service.name)
  return exclusively(folder, () => stopProcess(folder, service.patience.stopMs))
}

async function untilHealthy(service: Service, folder: string, process: ProcessIdentity): Promise<void> {
  const { startMs } = service.patience
  const deadline = performance.now() + startMs
  for (;;) {
    // Look at the process first: an answer counts only when it comes from the process that we started.
    const alive = startOf(process.pid) === process.started
    if (!alive) throw failure(service, folder, 'ended while it started')
    try {
      await service.check()
      return
    } catch (error) {
      if (performance.now() > deadline) {
        const what = `did not answer within ${startMs / 1000} s (${errorMessage(error)})`
        throw failure(service, folder, what, error)
      }
    }
    await sleep(HEALTH_POLL_MS)
  }
}

function failure(service: Service, folder: string, what: string, cause?: unknown): UserError {
  const words = lastLogLines(folder, LOG_LINES_OF_A_FAILURE)
    .map((line) => `  ${line}`)
    .join('\n')
  return new UserError(
    `${service.name} ${what}. Its log ends:\n${words}\nFor all of it, run: fd services logs ${service.name}`,
    { cause },
  )
}

/** The state of a service. Changes nothing. */
export async function serviceStatus(service: Service, home: string): Promise<ServiceStatus> {
  const { name, port } = service
  const running = runningProcess(serviceFolder(home, name))
  if (running === undefined) {
    const missing = service.missing()
    return missing === undefined
      ? { name, port, state: 'stopped', detail: `Run: fd services up ${name}` }
      : { name, port, state: 'not installed', detail: missing }
  }
  const { pid } = running
  try {
    return { name, port, state: 'running', pid, version: await service.check(), detail: 'answers' }
  } catch (error) {
    const detail = `${errorMessage(error)}. Run: fd services logs ${name}`
    return { name, port, state: 'unhealthy', pid, detail }
  }
}
