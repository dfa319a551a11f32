import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config, ServiceName } from '../../configs/config.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { makeCredentials, type Credentials } from './credentials.ts'
import {
  exclusively,
  lastLogLines,
  portIsFree,
  runningProcess,
  startOf,
  startProcess,
  stopProcess,
  type Launch,
  type ProcessIdentity,
} from './process.ts'

/** A server that `fd` can install, start, ask and stop on 127.0.0.1. */
export interface Service {
  name: ServiceName
  port: number
  /** What clients are given; Redis's password is in it, S3's keys are in `environment`. */
  url: string
  /** Variables that lead any program to the server, for `fd services env`. */
  environment: Record<string, string>
  /** What is not installed and how to get it, in a sentence that ends with a command; undefined when all is there. */
  missing(): string | undefined
  /** Downloads what is missing, once for all homes. */
  install(): Promise<void>
  /** Writes the server's files into its folder, keeping the data of earlier runs, and tells how to start it. */
  prepare(folder: string): Promise<Launch>
  /** Resolves to the version that answers; rejects while the server does not. */
  check(): Promise<string>
  /** What is done once after each start, such as making the bucket. */
  finish?(): Promise<void>
  /** The longest start on a slow machine, and the longest orderly stop. */
  patience: { startMs: number; stopMs: number }
}

/** How a service stands now. */
export interface ServiceStatus {
  name: ServiceName
  state: 'running' | 'unhealthy' | 'stopped' | 'not installed'
  pid?: number
  port: number
  version?: string
  /** Why it is not running, or what to do. */
  detail: string
}

const HEALTH_POLL_MS = 100
const LOG_LINES_OF_A_FAILURE = 15

/** The services that a configuration names, in the order in which they are started. */
export async function configuredServices(config: Config): Promise<Service[]> {
  const credentials: Credentials = makeCredentials(config.home)
  const { redis, kafka, mlflow, s3 } = config.services
  const found: Service[] = []
  if (redis !== undefined) found.push((await import('./redis.ts')).redisService(redis, credentials))
  if (s3 !== undefined) found.push((await import('./s3.ts')).s3Service(s3, config.cache, credentials))
  if (kafka !== undefined) found.push((await import('./kafka.ts')).kafkaService(kafka, config.cache))
  if (mlflow !== undefined) found.push((await import('./mlflow.ts')).mlflowService(mlflow, config.cache))
  return found
}

/** `HOME/services/NAME`: data, log and process of one service. */
export function serviceFolder(home: string, name: ServiceName): string {
  return join(home, 'services', name)
}

/**
 * Starts a service and waits until it answers; does nothing when it runs already.
 *
 * @throws UserError when it is not installed, its port is taken, it ends at once (with its last words) or stays silent.
 */
export function startService(service: Service, home: string): Promise<'started' | 'already running'> {
  const folder = serviceFolder(home, service.name)
  return exclusively(folder, async () => {
    const running = runningProcess(folder)
    if (running !== undefined) {
      // It may have been left half-way by an `up` that was interrupted: what it takes to be ready is done again.
      await untilHealthy(service, folder, running)
      await service.finish?.()
      return 'already running'
    }
    const missing = service.missing()
    if (missing !== undefined) throw new UserError(missing)
    if (!(await portIsFree(service.port))) {
      throw new UserError(
        `Port ${service.port} of 127.0.0.1, for ${service.name}, is taken by a program that fd did not start here. ` +
          `Stop it, or give another one as services.${service.name}.port in a copy of configs/services.yaml. To see who it is, run: ss -ltnp 'sport = :${service.port}'`,
      )
    }
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const started = await startProcess(folder, await service.prepare(folder))
    await untilHealthy(service, folder, started)
    await service.finish?.()
    return 'started'
  })
}

/** Ends a service, gently if it can. */
export function stopService(service: Service, home: string): Promise<'stopped' | 'killed' | 'not running'> {
  const folder = serviceFolder(home, service.name)
  return exclusively(folder, () => stopProcess(folder, service.patience.stopMs))
}

async function untilHealthy(service: Service, folder: string, process: ProcessIdentity): Promise<void> {
  const deadline = performance.now() + service.patience.startMs
  for (;;) {
    // The process is looked at first, so that an answer counts only from the one we started.
    const alive = startOf(process.pid) === process.started
    if (!alive) throw failure(service, folder, 'ended while it started')
    try {
      await service.check()
      return
    } catch (error) {
      if (performance.now() > deadline)
        throw failure(
          service,
          folder,
          `did not answer within ${service.patience.startMs / 1000} s (${errorMessage(error)})`,
          error,
        )
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

/** How a service stands, without changing anything. */
export async function serviceStatus(service: Service, home: string): Promise<ServiceStatus> {
  const { name, port } = service
  const running = runningProcess(serviceFolder(home, name))
  if (running === undefined) {
    const missing = service.missing()
    return missing === undefined
      ? { name, port, state: 'stopped', detail: `Run: fd services up ${name}` }
      : { name, port, state: 'not installed', detail: missing }
  }
  try {
    return { name, port, state: 'running', pid: running.pid, version: await service.check(), detail: 'answers' }
  } catch (error) {
    return {
      name,
      port,
      state: 'unhealthy',
      pid: running.pid,
      detail: `${errorMessage(error)}. Run: fd services logs ${name}`,
    }
  }
}
