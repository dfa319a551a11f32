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

/**
 * The variables by which the tests of a driver find its server. Where one is not set, those tests are not run. With the
 * one of s3 come AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
 */
const VARIABLES: Record<ServiceName, string> = {
  redis: 'FD_TEST_REDIS_URL',
  s3: 'FD_TEST_S3_URL',
  kafka: 'FD_TEST_KAFKA_URL',
  mlflow: 'FD_TEST_MLFLOW_URL',
}

/** What became of a service: its variable was set already, it was started, or it was not, and why. */
type Outcome = { name: ServiceName } & (
  | { state: 'given' | 'started'; seconds: number }
  | { state: 'not run'; reason: string }
)

/**
 * Vitest's global setup: starts servers for the length of the run.
 *
 * These are the servers of configs/services.yaml that are installed. They run in a home of their own, on free ports. A
 * server whose variable is set already is used as it is. `FD_TEST_SERVICES` names those to start, separated by commas,
 * for a developer who needs fewer (`none` for none). When CI is set, servers that are not installed are installed, and
 * one that still cannot be started fails the run, after its tests.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const environment = environmentWith({})
  const ci = environment['CI'] !== undefined && environment['CI'] !== '' && environment['CI'] !== 'false'
  const home = mkdtempSync(join(tmpdir(), 'fd-services-'))
  const services = await configuredServices(await testConfig(home))
  const abandon = (): void => {
    for (const { name } of services) killProcess(serviceFolder(home, name))
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }
  // By design servers outlive the process that started them. These must not, however the run ends.
  process.once('exit', abandon)

  const outcomes = await startAll(services, environment, ci, (service) => started(service, home, project))
  tellStarted(outcomes)

  return async () => {
    await Promise.all(services.map((service) => stopService(service, home)))
    process.off('exit', abandon)
    rmSync(home, { recursive: true, force: true })
    closingLines(outcomes, ci)
  }
}

/** Installs what may and must be installed, one service after the other, since packagers lock. Starts side by side. */
async function startAll(
  services: readonly Service[],
  environment: Record<string, string | undefined>,
  mayInstall: boolean,
  start: (service: Service) => Promise<Outcome>,
): Promise<Outcome[]> {
  const wanted = environment['FD_TEST_SERVICES']?.split(',')
  const outcomes: Outcome[] = []
  const starting: Promise<void>[] = []
  for (const service of services) {
    const { name } = service
    if (environment[VARIABLES[name]] !== undefined) outcomes.push({ name, state: 'given', seconds: 0 })
    else if (wanted !== undefined && !wanted.includes(name))
      outcomes.push({ name, state: 'not run', reason: 'FD_TEST_SERVICES does not name it' })
    else {
      const fault = await installed(service, mayInstall)
      if (fault === undefined) starting.push(start(service).then((outcome) => void outcomes.push(outcome)))
      else outcomes.push({ name, state: 'not run', reason: fault })
    }
  }
  await Promise.all(starting)
  return outcomes
}

function tellStarted(outcomes: readonly Outcome[]): void {
  const running = outcomes.flatMap((outcome) =>
    outcome.state === 'started' ? [`${outcome.name} in ${outcome.seconds.toFixed(1)} s`] : [],
  )
  if (running.length > 0) say(`Servers for the tests: ${running.join(', ')}.`)
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

/** Installs a service where that is allowed. Resolves to the reason why it cannot be started; undefined when it can. */
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
      // End whatever a failed first try has left running.
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

/** Tries a second time after a failure: a shared machine or a package registry may falter once. */
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
  const reasons = absent.map(({ name, reason }) => `  the tests of ${name}: ${reason}`)
  say(`\nNot run, for want of a server:\n${reasons.join('\n')}`)
  if (!ci) return
  say('CI is set, so this fails the run.')
  process.exitCode = 1
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
