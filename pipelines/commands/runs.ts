import { userInfo } from 'node:os'
import { Command } from 'commander'
import { UserError } from '../../configs/user-error.ts'
import { isActive } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import { action, example, type Context } from '../console/command.ts'
import { table, type Output } from '../console/output.ts'
import { openRegistry } from '../console/parts.ts'

/** A run that the command has closed, and why. */
interface Closed {
  runId: string
  reason: string
}

export function runsCommand(): Command {
  const runs = new Command('runs').description('close runs whose process is gone')
  const close = new Command('close')
    .description(
      'close the runs that are RUNNING though their process has ended, or gives no sign of life on another machine;\n' +
        'with ids, close those, whatever becomes of their process there',
    )
    .argument('[run...]', 'ids of runs that nobody works on any more')
  runs.addCommand(
    example(close, 'fd runs close', 'fd runs close 0f3c2a9be41d4c55a1c0de6f00c0ffee').action(
      action((context: Context, _: object, ids: string[]) => closeRuns(context, ids)),
    ),
  )
  return runs
}

async function closeRuns({ config, output, fd }: Context, ids: readonly string[]): Promise<void> {
  const { abandonedRuns, closeAbandoned, ownerlessRuns } = await import('../../training/ownership/abandoned.ts')
  await using registry = await openRegistry(config)
  const closed: Closed[] = []
  if (ids.length > 0) closed.push(...(await closeByHand(registry, ids, output.note)))
  else {
    for await (const abandoned of abandonedRuns(registry, { tell: output.note })) {
      const { run, reason } = abandoned
      if (await closeAbandoned(registry, abandoned)) closed.push({ runId: run.runId, reason })
    }
    const old = (await ownerlessRuns(registry)).map(({ runId }) => runId)
    if (old.length > 0) {
      output.note(
        'Runs of an older fd name no owner, so nobody can tell whether it is gone. ' +
          `When nothing trains, run: ${fd('runs', 'close', ...old)}`,
      )
    }
  }
  output.result(closed, () =>
    closed.length === 0
      ? `No run was closed${ids.length > 0 ? '' : ': of none is it known that its process is gone'}.`
      : table(
          ['closed as KILLED', 'because'],
          closed.map(({ runId, reason }) => [runId, reason]),
        ),
  )
}

/** @throws UserError, before anything is closed, for a run that has ended or whose process is seen to live. */
async function closeByHand(registry: Registry, ids: readonly string[], note: Output['note']): Promise<Closed[]> {
  const [{ ownerOf }, { hostedState }] = await Promise.all([
    import('../../training/ownership/run-owner.ts'),
    import('../../configs/process/living-process.ts'),
  ])
  for (const runId of ids) {
    const run = await registry.getRun(runId)
    if (!isActive(run.status)) throw new UserError(`Run ${runId} is ${run.status} already.`)
    const owner = ownerOf(run)
    if (owner !== undefined && hostedState(owner) === 'alive') {
      throw new UserError(`Process ${owner.pid} works on run ${runId}. End it first: kill ${owner.pid}`)
    }
  }
  const reason = `Closed by ${userInfo().username}.`
  const closed: Closed[] = []
  for (const runId of new Set(ids)) {
    if (await registry.endRun(runId, 'KILLED', { reason })) closed.push({ runId, reason })
    else note(`Run ${runId} has ended meanwhile, as ${(await registry.getRun(runId)).status}.`)
  }
  return closed
}
