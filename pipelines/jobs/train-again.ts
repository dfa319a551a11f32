import type { ModelVersion } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import { RUN_PARAMS } from '../../training/run.ts'
import { commandLine, timeWord, type Word } from '../console/command-line.ts'

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
  return commandLine(['train', ...subject, ...model, { register: candidate.name }])
}

/** Options that say on what a run was trained. */
function subjectOptions(params: RunParams): Word[] | undefined {
  const [dataset, data, text] = [params['dataset.name'], params[RUN_PARAMS.file], params[RUN_PARAMS.split]]
  if (dataset === undefined || data === undefined || text === undefined) return undefined
  const { kind: split, trainFrom } = JSON.parse(text) as { kind: string; trainFrom?: number }
  const until = params[RUN_PARAMS.until]
  return [
    { dataset, data, split, 'train-from': timeWord(trainFrom) },
    { until: timeWord(until === undefined ? undefined : Number(until)), sort: params[RUN_PARAMS.sort] === 'true' },
  ]
}

/** Options that say what a run fitted: those that differ from the defaults. */
async function modelOptions(params: RunParams): Promise<Word[] | undefined> {
  const { estimatorNames, findEstimator } = await import('../../training/catalog.ts')
  const name = params['estimator']
  if (name === undefined || !estimatorNames().includes(name)) return undefined
  const estimator = findEstimator(name)
  const defaults = estimator.params({})
  const given = Object.entries(params).filter(
    ([key, value]) => value !== undefined && isParameter(estimator, key) && value !== String(defaults[key]),
  )
  const { service, seed, calibration } = params
  return [
    { service, model: name },
    ...given.map(([key, value]) => ({ param: `${key}=${value}` })),
    { seed: seed === '0' ? undefined : seed, calibrate: calibration, 'calibration-share': params['calibration.share'] },
  ]
}

function isParameter({ parameters }: { parameters: { name: string }[] }, key: string): boolean {
  return parameters.some(({ name }) =>
    name.endsWith('<feature>') ? key.startsWith(name.slice(0, -'<feature>'.length)) : name === key,
  )
}
