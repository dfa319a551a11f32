import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { environmentWith, PROJECT_ROOT, readConfig, type Config, type ServiceName } from '../../configs/config.ts'
import { errorMessage } from '../../configs/user-error.ts'
import { configuredServices } from '../services/configured-services.ts'
import { serviceFolder, startService, stopService } from '../services/lifecycle.ts'
import { freePort, killProcess } from '../services/process.ts'
import type { Service } from '../services/service.ts'

/** Where the tests of a driver find its server; unset, they are not run. With s3 come AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. */
const VARIABLES: Record<ServiceName, string> = {
  redis: 'FD_TEST_REDIS_URL',
  s3: 'FD_TEST_S3_URL',
  kafka: 'FD_TEST_KAFKA_URL',
  mlflow: 'FD_TEST_MLFLOW_URL',
}

/** What became of a service: its variable was set already, it was started, or why it was not. */
type Outcome = { name: ServiceName } & (
  | { state: 'given' | 'started'; seconds: number }
  | { state: 'not run'; reason: string }
)

/**
 * Vitest's global setup: starts the servers of configs/services.yaml that are installed, in a home of their own and on free
 * ports, for the length of the run. A server whose variable is set already is used as it is. When CI is set, what is
 * not installed is installed, and a server that cannot be had fails the run, after its tests. `FD_TEST_SERVICES` names
 * those to start, with commas, for a developer who needs fewer (`none` for none).
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const environment = environmentWith({})
  const ci = environment['CI'] !== undefined && environment['CI'] !== '' && environment['CI'] !== 'false'
  const wanted = environment['FD_TEST_SERVICES']?.split(',')
  const home = mkdtempSync(join(tmpdir(), 'fd-services-'))
  const services = await configuredServices(await testConfig(home))
  const abandon = (): void => {
    for (const { name } of services) killProcess(serviceFolder(home, name))
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }
  // Servers outlive their starter by design; these must not, however the run ends.
  process.once('exit', abandon)

  const outcomes: Outcome[] = []
  const starting: Promise<void>[] = []
  for (const service of services) {
    const { name } = service
    if (environment[VARIABLES[name]] !== undefined) outcomes.push({ name, state: 'given', seconds: 0 })
    else if (wanted !== undefined && !wanted.includes(name))
      outcomes.push({ name, state: 'not run', reason: 'FD_TEST_SERVICES does not name it' })
    else {
      // Installed one after another, since packagers lock; started side by side.
      const fault = await installed(service, ci)
      if (fault === undefined)
        starting.push(started(service, home, project).then((outcome) => void outcomes.push(outcome)))
      else outcomes.push({ name, state: 'not run', reason: fault })
    }
  }
  await Promise.all(starting)
  const running = outcomes.filter(({ state }) => state === 'started') as { name: string; seconds: number }[]
  if (running.length > 0)
    say(
      `Servers for the tests: ${running.map(({ name, seconds }) => `${name} in ${seconds.toFixed(1)} s`).join(', ')}.`,
    )

  return async () => {
    await Promise.all(services.map((service) => stopService(service, home)))
    process.off('exit', abandon)
    rmSync(home, { recursive: true, force: true })
    closingLines(outcomes, ci)
  }
}

/** The servers of configs/services.yaml on ports that nothing listens on. */
async function testConfig(home: string): Promise<Config> {
  const config = readConfig(join(PROJECT_ROOT, 'configs', 'services.yaml'))
  const { redis, kafka, mlflow, s3 } = config.services
  return {
    ...config,
    home,
    services: {
      redis: redis && { ...redis, port: await freePort() },
      kafka: kafka && { ...kafka, port: await freePort(), controllerPort: await freePort() },
      mlflow: mlflow && { ...mlflow, port: await freePort() },
      s3: s3 && { ...s3, port: await freePort() },
    },
  }
}

/** Why a service cannot be started, after installing it where that is allowed; undefined when it can. */
async function installed(service: Service, mayInstall: boolean): Promise<string | undefined> {
  const missing = service.missing()
  if (missing === undefined || !mayInstall) return missing
  say(`${service.name}: installing …`)
  try {
    await twice(() => service.install())
    return service.missing()
  } catch (error) {
    return errorMessage(error)
  }
}

async function started(service: Service, home: string, project: TestProject): Promise<Outcome> {
  const { name } = service
  const begun = performance.now()
  try {
    await twice(async () => {
      // What a first try left is ended before the second.
      await stopService(service, home)
      await startService(service, home)
    })
  } catch (error) {
    return { name, state: 'not run', reason: errorMessage(error) }
  }
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = service.environment
  project.config.env = {
    ...project.config.env,
    [VARIABLES[name]]: service.url,
    ...(name === 's3' ? { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } : {}),
  }
  return { name, state: 'started', seconds: (performance.now() - begun) / 1000 }
}

/** A shared machine or a registry may falter once. */
async function twice(attempt: () => Promise<void>): Promise<void> {
  try {
    await attempt()
  } catch (error) {
    say(`${errorMessage(error)}\nTrying once more …`)
    await attempt()
  }
}

function closingLines(outcomes: readonly Outcome[], ci: boolean): void {
  const absent = outcomes.filter((outcome) => outcome.state === 'not run')
  if (absent.length === 0) return
  say(
    `\nNot run, for want of a server:\n${absent.map(({ name, reason }) => `  the tests of ${name}: ${reason}`).join('\n')}`,
  )
  if (!ci) return
  say('CI is set, so this fails the run.')
  process.exitCode = 1
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
