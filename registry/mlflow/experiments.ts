import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { experimentTaken } from '../conflict.ts'
import type { Experiment, Tags } from '../model.ts'
import { checkExperimentName, checkTags, MAX_EXPERIMENT_TAG_VALUE } from '../naming.ts'
import { noSuchExperiment, type NotFoundError } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import type { MlflowClient } from './client.ts'
import { isMissing, MlflowError } from './fault.ts'
import { experiment, pairsOf } from './json.ts'
import { allPages } from './pages.ts'

type ExperimentVerbs = Pick<
  Registry,
  'createExperiment' | 'getExperiment' | 'getExperimentByName' | 'searchExperiments'
>

const one = z.object({ experiment })
const created = z.object({ experiment_id: z.string() })
const MOST = 1_000

export function experimentVerbs(client: MlflowClient): ExperimentVerbs {
  return {
    createExperiment: (name, { tags = {}, mayExist = false } = {}) => createExperiment(client, name, tags, mayExist),

    getExperiment: (experimentId) => getExperiment(client, experimentId),

    async getExperimentByName(name) {
      const holder = await holderOf(client, name)
      return holder?.deleted === true ? undefined : holder?.experiment
    },

    searchExperiments: () => searchExperiments(client),
  }
}

/** @returns its id. @throws UserError when the name is taken, unless it `mayExist`. */
export async function createExperiment(
  client: MlflowClient,
  name: string,
  tags: Tags = {},
  mayExist = true,
): Promise<string> {
  checkExperimentName(name)
  checkTags(tags, MAX_EXPERIMENT_TAG_VALUE)
  // Asked first: mostly the experiment exists, as it does for its tenth run.
  const holder = (await holderOf(client, name)) ?? (await create(client, name, tags))
  return typeof holder === 'string' ? holder : idOf(holder, mayExist)
}

/** @returns the new id, or who took the name since it was asked for. */
async function create(client: MlflowClient, name: string, tags: Tags): Promise<string | NameHolder> {
  try {
    const body = { name, tags: pairsOf(tags) }
    return (await client.sendOnce('POST', 'experiments/create', body, created)).experiment_id
  } catch (error) {
    const taken = error instanceof MlflowError && error.code === 'RESOURCE_ALREADY_EXISTS'
    const holder = taken ? await holderOf(client, name) : undefined
    if (holder === undefined) throw error
    return holder
  }
}

/** @throws NotFoundError. */
export async function getExperiment(client: MlflowClient, experimentId: string): Promise<Experiment> {
  // MLflow's SQL store answers 500 to an id that is no number, and this client repeats a call that gets 500.
  if (!/^\d{1,18}$/.test(experimentId)) throw await missingExperiment(client, experimentId)
  try {
    return (await client.get('experiments/get', { experiment_id: experimentId }, one)).experiment
  } catch (error) {
    throw isMissing(error) ? await missingExperiment(client, experimentId) : error
  }
}

interface NameHolder {
  experiment: Experiment
  /** A deleted experiment keeps its name until MLflow's garbage collection. */
  deleted: boolean
}

const held = z
  .object({ experiment: z.object({ lifecycle_stage: z.string().default('active') }).loose() })
  .transform((answer): NameHolder => ({
    experiment: experiment.parse(answer.experiment),
    deleted: answer.experiment.lifecycle_stage === 'deleted',
  }))

/** The experiment that has a name, deleted ones included. */
async function holderOf(client: MlflowClient, name: string): Promise<NameHolder | undefined> {
  try {
    return await client.get('experiments/get-by-name', { experiment_name: name }, held)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function idOf({ experiment: { name, experimentId }, deleted }: NameHolder, mayExist: boolean): string {
  if (deleted) {
    throw new UserError(
      `Experiment "${name}" was deleted and keeps its name. ` +
        `Run: mlflow experiments restore --experiment-id ${experimentId}`,
    )
  }
  if (!mayExist) throw experimentTaken(name, experimentId)
  return experimentId
}

async function searchExperiments(client: MlflowClient): Promise<Experiment[]> {
  const body = { max_results: MOST, order_by: ['creation_time DESC'] }
  const found = await allPages('experiments', experiment, (schema, token) =>
    client.send('POST', 'experiments/search', { ...body, page_token: token }, schema),
  )
  return found.sort((a, b) => b.creationTime - a.creationTime || Number(b.experimentId) - Number(a.experimentId))
}

async function missingExperiment(client: MlflowClient, experimentId: string): Promise<NotFoundError> {
  const existing = await searchExperiments(client)
  return noSuchExperiment(
    experimentId,
    existing.reverse().map((other) => `${other.experimentId} ("${other.name}")`),
  )
}
