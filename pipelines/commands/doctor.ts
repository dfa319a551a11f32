import { randomUUID } from 'node:crypto'
import { Command } from 'commander'
import type { Config } from '../../configs/config.ts'
import type { Finding, Inspection } from '../../configs/finding.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { withNext } from '../console/command-line.ts'
import { action, example, wallClock, type Context } from '../console/command.ts'
import { table } from '../console/output.ts'
import type { Check } from '../doctor/check.ts'
import { MACHINE } from '../doctor/machine.ts'
import { SERVICES } from '../doctor/services.ts'
import { STREAM } from '../doctor/stream.ts'

const CHECKS: Record<string, Check> = { ...MACHINE, ...SERVICES, ...STREAM }

export function doctorCommand(): Command {
  return example(
    new Command('doctor').description(
      'check everything fd needs, and say what to do about each fault; ' +
        'on a service, whatever fd does is tried, and removed again; exit 1 when something is broken',
    ),
    'fd doctor',
    'fd doctor --config configs/services.yaml',
  ).action(action(doctor))
}

async function doctor({ config, output, fd }: Context): Promise<void> {
  const inspection = { now: wallClock, id: randomUUID().slice(0, 8), tell: output.note }
  const found: (Finding & { check: string })[] = []
  for (const [check, run] of Object.entries(CHECKS)) {
    const findings = await examine(config, inspection, run)
    found.push(...findings.map((finding) => ({ check, ...finding })))
  }
  const text = (): string =>
    table(
      ['', 'check', '', 'detail'],
      found.map(({ state, check, aspect, detail }) => [state, check, aspect, detail]),
    )
  const broken = found.filter(({ state }) => state === 'broken')
  if (broken.length === 0) return output.result(found, () => withNext(text(), fd('datasets', 'list')))
  const names = [...new Set(broken.map(({ check }) => check))].join(', ')
  const failed = new UserError(`${broken.length} of ${found.length} checks failed: ${names}.`, { exitCode: 1 })
  output.refuse(found, text, failed)
}

async function examine(config: Config, inspection: Inspection, run: Check): Promise<Finding[]> {
  try {
    return await run(config, inspection)
  } catch (error) {
    return [{ aspect: '', state: 'broken', detail: errorMessage(error) }]
  }
}
