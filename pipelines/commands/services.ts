import { join, relative } from 'node:path'
import { Command } from 'commander'
import { PROJECT_ROOT, readConfig, type Config } from '../../configs/config.ts'
import { enterProject } from '../../configs/project.ts'
import { UserError } from '../../configs/user-error.ts'
import { example, stopSignal, wholeNumber } from '../console/command.ts'
import { openOutput, table, type Output } from '../console/output.ts'
import type { Service } from '../services/service.ts'

/** What the action of each subcommand is given. */
interface ServicesContext {
  config: Config
  output: Output
  /** The services named on the command line, or all of the configuration. */
  services: Service[]
  /** The names on the command line; none stands for all. */
  names: string[]
  /** Docker compose rather than processes of this machine. */
  docker: boolean
}

/** The configuration of the servers that come with fd. */
const SERVICES = join(PROJECT_ROOT, 'configs', 'services.yaml')

interface GivenOptions {
  json?: boolean
  config?: string
  project?: string
  native?: boolean
}

export function servicesCommand(): Command {
  return new Command('services')
    .description(
      'the servers behind the service drivers: Kafka, Redis, MLflow, S3; ' +
        'with a Docker engine by compose, without as processes under FD_HOME/services',
    )
    .addCommand(upCommand())
    .addCommand(example(subcommand('down', 'stop them; their data stays').action(action(down)), 'fd services down'))
    .addCommand(
      example(
        subcommand('status', 'what runs, where, and whether it answers').action(action(status)),
        'fd services status',
      ),
    )
    .addCommand(logsCommand())
    .addCommand(
      example(
        subcommand('env', 'the variables that lead fd, or any program, to them; secrets included').action(
          action(environment),
        ),
        'eval "$(fd services env)"',
      ),
    )
}

function subcommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .argument('[names...]', 'redis, s3, kafka, mlflow (default: all)')
    .option('--native', 'without Docker, though there is an engine')
}

/**
 * As `action` of command.ts, but with configs/services.yaml as the default configuration. It is read without its
 * secrets, which need not exist yet.
 */
function action<Options>(
  run: (context: ServicesContext, options: Options) => Promise<void>,
): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const options = (given.at(-1) as Command).optsWithGlobals<Options & GivenOptions>()
    enterProject(options.project)
    const names = given[0] as string[]
    const [{ configuredServices }, { hasDockerEngine }] = await Promise.all([
      import('../services/configured-services.ts'),
      import('../services/compose.ts'),
    ])
    const config = readConfig(options.config ?? SERVICES)
    const all = await configuredServices(config)
    checkServices(all)
    const services = namedServices(all, names)
    const docker = options.native !== true && hasDockerEngine()
    await run({ config, services, names, output: openOutput(options.json ?? false), docker }, options)
  }
}

/** The services of those names, or all when none is given. @throws UserError for a name that is not configured. */
function namedServices(all: Service[], names: readonly string[]): Service[] {
  const unknown = names.filter((name) => all.every((service) => service.name !== name))
  if (unknown.length > 0) {
    throw new UserError(
      `No service "${unknown.join('", "')}" in the configuration; ` +
        `it has ${all.map(({ name }) => name).join(', ')}. Run: fd services status`,
    )
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
}

/** @throws UserError when the configuration names no service, or when two would have one port. */
function checkServices(all: readonly Service[]): void {
  if (all.length === 0) {
    throw new UserError(
      'The configuration names no services. ' +
        'Leave out --config to use configs/services.yaml, or name them in its part "services".',
    )
  }
  for (const [port, rivals] of Map.groupBy(all, ({ port }) => port)) {
    if (rivals.length === 1) continue
    throw new UserError(
      `${rivals.map(({ name }) => name).join(' and ')} cannot both have port ${port}. ` +
        'Give each its own, as services.NAME.port in the configuration.',
    )
  }
}

function upCommand(): Command {
  return example(
    subcommand('up', 'start what configs/services.yaml names, and wait until it answers')
      .option('--install', 'download what is missing')
      .action(action(up)),
    'fd services up --install',
    'fd services up kafka redis',
  )
}

async function up(
  { config, output, services, names, docker }: ServicesContext,
  { install = false }: { install?: boolean },
): Promise<void> {
  if (docker) {
    const { compose } = await import('../services/compose.ts')
    return compose(config.home, ['up', '--detach', '--wait', ...names], { says: 'progress' })
  }
  const { startService } = await import('../services/lifecycle.ts')
  const faults: string[] = []
  const results: { name: string; result: string; seconds: number }[] = []
  for (const service of services) {
    const { name } = service
    try {
      if (install && service.missing() !== undefined) await installService(service, output)
      const started = performance.now()
      const result = await startService(service, config.home)
      results.push({ name, result, seconds: secondsSince(started) })
      const took = result === 'started' ? ` in ${secondsSince(started)} s` : ''
      output.note(`${name}: ${result} on 127.0.0.1:${service.port}${took}`)
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      faults.push(`${name}: ${error.message}`)
    }
  }
  if (faults.length > 0) throw new UserError(faults.join('\n'))
  output.result(results, () => {
    const file = relative('', SERVICES)
    return `Use them with --config ${file}, or: eval "$(fd services env)"`
  })
}

async function installService(service: Service, { note }: Output): Promise<void> {
  note(`${service.name}: installing …`)
  const started = performance.now()
  await service.install()
  note(`${service.name}: installed in ${secondsSince(started)} s`)
}

/** Seconds to one decimal. */
function secondsSince(started: number): number {
  return Math.round((performance.now() - started) / 100) / 10
}

async function down({ config, output, services, names, docker }: ServicesContext): Promise<void> {
  const { stopService } = await import('../services/lifecycle.ts')
  const results: { name: string; result: string }[] = []
  // Our own processes are stopped first, with a Docker engine or without: they may have been started before there was
  // one. The last one started is the first one stopped.
  for (const service of services.toReversed())
    results.push({ name: service.name, result: await stopService(service, config.home) })
  if (docker) {
    const { compose } = await import('../services/compose.ts')
    await compose(config.home, names.length === 0 ? ['down'] : ['stop', ...names], { says: 'progress' })
  }
  output.result(results, () => results.map(({ name, result }) => `${name}: ${result}`).join('\n'))
}

async function status({ config, output, services, names, docker }: ServicesContext): Promise<void> {
  if (docker) {
    const { compose } = await import('../services/compose.ts')
    return compose(config.home, ['ps', '--all', ...(output.json ? ['--format', 'json'] : []), ...names], {
      says: 'result',
    })
  }
  const { serviceStatus } = await import('../services/lifecycle.ts')
  const found = await Promise.all(services.map((service) => serviceStatus(service, config.home)))
  output.result(found, () =>
    table(
      ['service', 'state', 'pid', 'port', 'version', 'detail'],
      found.map(({ name, state, pid, port, version, detail }) => [
        name,
        state,
        pid === undefined ? '' : String(pid),
        String(port),
        version ?? '',
        detail,
      ]),
    ),
  )
}

function logsCommand(): Command {
  return example(
    subcommand('logs', 'the end of their logs')
      .option('--follow', 'wait for more')
      .option('--lines <n>', 'how many lines of each', wholeNumber, 50)
      .action(action(logs)),
    'fd services logs kafka --follow',
  )
}

async function logs(
  { config, output, services, names, docker }: ServicesContext,
  { follow = false, lines }: { follow?: boolean; lines: number },
): Promise<void> {
  if (docker) {
    const { compose } = await import('../services/compose.ts')
    return compose(config.home, ['logs', '--tail', String(lines), ...(follow ? ['--follow'] : []), ...names], {
      says: 'result',
      signal: stopSignal(),
    })
  }
  const [{ serviceFolder }, { followLog, hasLog, lastLogLines }] = await Promise.all([
    import('../services/lifecycle.ts'),
    import('../services/process.ts'),
  ])
  const print = (name: string) => (line: string) =>
    void process.stdout.write(services.length > 1 ? `${name}  ${line}\n` : `${line}\n`)
  const folders = services.map(({ name }) => ({ name, folder: serviceFolder(config.home, name) }))
  const silent = folders.filter(({ folder }) => !hasLog(folder)).map(({ name }) => name)
  const start = `fd services up ${names.join(' ')}`.trimEnd()
  const never = `Never started in ${config.home}, so without a log: ${silent.join(', ')}. Run: ${start}`
  if (silent.length === folders.length && !follow) throw new UserError(never)
  if (silent.length > 0) output.note(never)
  for (const { name, folder } of folders) lastLogLines(folder, lines).forEach(print(name))
  if (!follow) return
  const signal = stopSignal()
  await Promise.all(folders.map(({ name, folder }) => followLog(folder, print(name), signal)))
}

async function environment({ output, services }: ServicesContext): Promise<void> {
  const variables = Object.assign({}, ...services.map(({ environment }) => environment)) as Record<string, string>
  output.result(variables, () =>
    Object.entries(variables)
      .map(([name, value]) => `export ${name}='${value}'`)
      .join('\n'),
  )
}
