import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { experimentTaken } from '../conflict.ts'
import type { Experiment } from '../model.ts'
import { checkExperimentName, checkTags, MAX_EXPERIMENT_TAG_VALUE } from '../naming.ts'
import { noSuchExperiment, type NotFoundError } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { isMissing, MlflowError, type MlflowClient } from './client.ts'
import { experiment, pairsOf } from './json.ts'
import { allPages } from './pages.ts'

type ExperimentVerbs = Pick<
  Registry,
  'createExperiment' | 'getExperiment' | 'getExperimentByName' | 'searchExperiments'
>

const one = z.object({ experiment })
const MOST = 1_000

export function experimentVerbs(client: MlflowClient): ExperimentVerbs {
  return {
    async createExperiment(name, { tags = {}, mayExist = false } = {}) {
      checkExperimentName(name)
      checkTags(tags, MAX_EXPERIMENT_TAG_VALUE)
      // Asked first: in the main case, the tenth run of an experiment, nothing is to be made.
      const holder = await holderOf(client, name)
      if (holder !== undefined) return idOf(holder, mayExist)
      try {
        return (
          await client.sendOnce(
            'POST',
            'experiments/create',
            { name, tags: pairsOf(tags) },
            z.object({ experiment_id: z.string() }),
          )
        ).experiment_id
      } catch (error) {
        const other =
          error instanceof MlflowError && error.code === 'RESOURCE_ALREADY_EXISTS'
            ? await holderOf(client, name)
            : undefined
        if (other === undefined) throw error
        return idOf(other, mayExist)
      }
    },

    getExperiment: (experimentId) => getExperiment(client, experimentId),
    async getExperimentByName(name) {
      const holder = await holderOf(client, name)
      return holder?.deleted === true ? undefined : holder?.experiment
    },
    searchExperiments: () => searchExperiments(client),
  }
}

/** @throws NotFoundError. */
export async function getExperiment(client: MlflowClient, experimentId: string): Promise<Experiment> {
  // MLflow's SQL store answers 500 to an id that is no number, and 500 is what a client repeats.
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

async function holderOf(client: MlflowClient, name: string): Promise<NameHolder | undefined> {
  try {
    return await client.get('experiments/get-by-name', { experiment_name: name }, held)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function idOf({ experiment: { name, experimentId }, deleted }: NameHolder, mayExist: boolean): string {
  if (deleted)
    throw new UserError(
      `Experiment "${name}" was deleted and keeps its name. Run: mlflow experiments restore --experiment-id ${experimentId}`,
    )
  if (!mayExist) throw experimentTaken(name, experimentId)
  return experimentId
}

async function searchExperiments(client: MlflowClient): Promise<Experiment[]> {
  const found = await allPages('experiments', experiment, (schema, token) =>
    client.send(
      'POST',
      'experiments/search',
      { max_results: MOST, order_by: ['creation_time DESC'], page_token: token },
      schema,
    ),
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
