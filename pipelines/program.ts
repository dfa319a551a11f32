import { Command, CommanderError } from 'commander'
import { packageVersion } from '../configs/config.ts'
import { UserError } from '../configs/user-error.ts'
import { archiveCommand } from './commands/archive.ts'
import { datasetsCommand } from './commands/datasets.ts'
import { doctorCommand } from './commands/doctor.ts'
import { estimatorsCommand } from './commands/estimators.ts'
import { featuresCommand } from './commands/features.ts'
import { modelsCommand } from './commands/models.ts'
import { produceCommand } from './commands/produce.ts'
import { runsCommand } from './commands/runs.ts'
import { scoreCommand } from './commands/score.ts'
import { servicesCommand } from './commands/services.ts'
import { topicsCommand } from './commands/topics.ts'
import { trainCommand } from './commands/train.ts'
import { jobProcessCommand, workerCommand } from './commands/worker.ts'
import { errorDocument, UsageError, wasAnswered } from './console/error-document.ts'
import { lastLine } from './console/output.ts'
import { demoCommand } from './demo/demo.ts'
import { initCommand } from './init/init.ts'

/** The whole command line. Commands load what they need when they run, so that `--help` stays fast. */
export function program(): Command {
  const fd = new Command('fd')
    .description(
      'From a history of card transactions to a live decision: features, training, registry, scoring.\n' +
        'The value trained on is the value served.',
    )
    .option('--json', 'print the result as one JSON document on stdout; all else goes to stderr')
    .option('--project <dir>', 'your own data and features: a folder with fd.yaml (default: FD_PROJECT, or upwards)')
    .option('--config <file>', "configuration file, above the project's fd.yaml (without one: configs/local.yaml)")
    .configureHelp({ showGlobalOptions: true })
    .version(packageVersion(), '-V, --version')
    .addHelpText(
      'after',
      '\nStart here:\n  $ fd demo\n\nEverything embedded lives under FD_HOME (default: .fd in the project).',
    )
  for (const command of [
    demoCommand(),
    doctorCommand(),
    initCommand(),
    datasetsCommand(),
    featuresCommand(),
    trainCommand(),
    estimatorsCommand(),
    modelsCommand(),
    runsCommand(),
    produceCommand(),
    scoreCommand(),
    topicsCommand(),
    archiveCommand(),
    servicesCommand(),
    workerCommand(),
  ]) {
    fd.addCommand(command)
  }
  fd.addCommand(jobProcessCommand(), { hidden: true })
  return fd
}

/**
 * Runs the command line. Exit codes: 0 done, 1 a legitimate no, 2 an error. A UserError prints its message; any other
 * error is a bug and prints its stack.
 */
export async function main(): Promise<void> {
  // A reader that has seen enough (`| head`) closes the pipe. That ends the command and is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(0)
  })
  const fd = program()
  exitWithTwo(fd, 'fd')
  try {
    await fd.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode
    else fail(error)
  }
}

/**
 * Tells an error on stderr and, with `--json`, as a document on stdout. The document takes one line, so that it also
 * ends a stream of documents.
 */
function fail(error: unknown): void {
  const document = errorDocument(error)
  if (error instanceof UserError) lastLine(error.message)
  else if (!(error instanceof UsageError)) {
    lastLine(`This is a bug in fd:\n${error instanceof Error ? error.stack : String(error)}`)
  }
  if (wantsJson(process.argv) && !wasAnswered(error)) process.stdout.write(`${JSON.stringify(document)}\n`)
  process.exitCode = document.error.code
}

/** Read off the arguments themselves, because a command line that is wrong has no options yet. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return argv.slice(0, end === -1 ? undefined : end).includes('--json')
}

/**
 * Makes a command exit with 2 for a wrong argument. Commander would exit with 1, which means "no" here. Every command
 * also says where its help is.
 */
function exitWithTwo(command: Command, path: string): void {
  command.showHelpAfterError('(add --help for what it takes)')
  command.exitOverride((error) => {
    if (error.exitCode === 0) throw error
    throw new UsageError(error.code === 'commander.help' ? `${path} needs a command.` : error.message, path)
  })
  command.commands.forEach((sub) => exitWithTwo(sub, `${path} ${sub.name()}`))
}
