import type { ModelVersion } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import { RUN_PARAMS } from '../../training/run.ts'

type RunParams = Record<string, string | undefined>

/**
 * The command that trains the candidate's model where it can be compared with the champion: on the champion's data and
 * split, so that both are judged on one holdout. Undefined when the runs of both are not there to say what these were.
 */
export async function comparableCommand(
  registry: Registry,
  candidate: ModelVersion,
  champion: ModelVersion,
): Promise<string | undefined> {
  if (candidate.runId === undefined || champion.runId === undefined) return undefined
  const [own, other] = await Promise.all([candidate, champion].map(({ runId = '' }) => registry.getRun(runId)))
  const subject = subjectOptions(other.params)
  const model = await modelOptions(own.params)
  if (subject === undefined || model === undefined) return undefined
  return ['fd train', ...subject, ...model, '--register', quoted(candidate.name)].join(' ')
}

/** Options that say on what a run was trained. */
function subjectOptions(params: RunParams): string[] | undefined {
  const [name, file, split] = [params['dataset.name'], params[RUN_PARAMS.file], params[RUN_PARAMS.split]]
  if (name === undefined || file === undefined || split === undefined) return undefined
  const { kind, trainFrom } = JSON.parse(split) as { kind: string; trainFrom?: number }
  const until = params[RUN_PARAMS.until]
  return [
    ...option('dataset', name),
    ...option('data', file),
    ...option('split', kind),
    ...(trainFrom === undefined ? [] : option('train-from', date(trainFrom))),
    ...(until === undefined ? [] : option('until', date(Number(until)))),
    ...(params[RUN_PARAMS.sort] === 'true' ? ['--sort'] : []),
  ]
}

/** Options that say what a run fitted: those that differ from the defaults. */
async function modelOptions(params: RunParams): Promise<string[] | undefined> {
  const { estimatorNames, findEstimator } = await import('../../training/catalog.ts')
  const name = params['estimator']
  if (name === undefined || !estimatorNames().includes(name)) return undefined
  const estimator = findEstimator(name)
  const defaults = estimator.params({})
  const given = Object.entries(params).filter(
    ([key, value]) => value !== undefined && isParameter(estimator, key) && value !== String(defaults[key]),
  )
  const { service, seed = '0', calibration } = params
  const share = params['calibration.share']
  return [
    ...(service === undefined ? [] : option('service', service)),
    ...option('model', name),
    ...given.flatMap(([key, value]) => option('param', `${key}=${value}`)),
    ...(seed === '0' ? [] : option('seed', seed)),
    ...(calibration === undefined ? [] : option('calibrate', calibration)),
    ...(share === undefined ? [] : option('calibration-share', share)),
  ]
}

function isParameter({ parameters }: { parameters: { name: string }[] }, key: string): boolean {
  return parameters.some(({ name }) =>
    name.endsWith('<feature>') ? key.startsWith(name.slice(0, -'<feature>'.length)) : name === key,
  )
}

function option(name: string, value: string): string[] {
  return [`--${name}`, quoted(value)]
}

/** A word that a shell reads as it stands. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

function date(time: number): string {
  return new Date(time).toISOString()
}
