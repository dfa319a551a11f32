import { randomUUID } from 'node:crypto'
import { Command } from 'commander'
import type { Finding, Inspection } from '../../configs/finding.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { action, example, wallClock, type Context } from '../console/command.ts'
import { table } from '../console/output.ts'
import { MACHINE } from '../doctor/machine.ts'
import { SERVICES } from '../doctor/services.ts'

/** Looks at one thing that must work. What it throws is a finding too: it is broken. */
export type Check = (context: Context, inspection: Inspection) => Promise<Finding[]>

const CHECKS: Record<string, Check> = { ...MACHINE, ...SERVICES }

export function doctorCommand(): Command {
  return example(
    new Command('doctor').description(
      'check everything fd needs, and say what to do about each fault; on a service, whatever fd does is tried, and removed again; exit 1 when something is broken',
    ),
    'fd doctor',
    'fd doctor --config configs/services.yaml',
  ).action(action(doctor))
}

async function doctor(context: Context): Promise<void> {
  const inspection = { now: wallClock, id: randomUUID().slice(0, 8), tell: context.output.note }
  const found: (Finding & { check: string })[] = []
  for (const [check, run] of Object.entries(CHECKS))
    found.push(...(await examine(context, inspection, run)).map((finding) => ({ check, ...finding })))
  const broken = found.filter(({ state }) => state === 'broken')
  context.output.result(found, () =>
    table(
      ['', 'check', '', 'detail'],
      found.map(({ state, check, aspect, detail }) => [state, check, aspect, detail]),
    ),
  )
  if (broken.length > 0)
    throw new UserError(
      `${broken.length} of ${found.length} checks failed: ${[...new Set(broken.map(({ check }) => check))].join(', ')}.`,
      { exitCode: 1 },
    )
}

async function examine(context: Context, inspection: Inspection, run: Check): Promise<Finding[]> {
  try {
    return await run(context, inspection)
  } catch (error) {
    return [{ aspect: '', state: 'broken', detail: errorMessage(error) }]
  }
}
