import { z } from 'zod'
import { modelTaken } from '../conflict.ts'
import type { RegisteredModel } from '../model.ts'
import { checkModelName, checkModelTag, checkNotHistory } from '../naming.ts'
import { noSuchModel, type NotFoundError } from '../not-found.ts'
import type { Registry } from '../registry.ts'
import { nothing, type MlflowClient } from './client.ts'
import { isMissing, MlflowError } from './fault.ts'
import { pairsOf, registeredModel } from './json.ts'
import { allPages } from './pages.ts'

type ModelVerbs = Pick<
  Registry,
  | 'createRegisteredModel'
  | 'getRegisteredModel'
  | 'searchRegisteredModels'
  | 'setRegisteredModelTag'
  | 'deleteRegisteredModelTag'
>

const one = z.object({ registered_model: registeredModel })
/** The most that MLflow gives at once. */
const MOST = 1_000

export function modelVerbs(client: MlflowClient): ModelVerbs {
  return {
    async createRegisteredModel(name, { tags = {}, description = '', mayExist = false } = {}) {
      checkModelName(name)
      for (const [key, value] of Object.entries(tags)) checkModelTag(key, value)
      try {
        await client.sendOnce('POST', 'registered-models/create', { name, tags: pairsOf(tags), description }, one)
      } catch (error) {
        if (!(error instanceof MlflowError) || error.code !== 'RESOURCE_ALREADY_EXISTS') throw error
        if (!mayExist) throw modelTaken(name)
      }
      return getModel(client, name)
    },

    getRegisteredModel: (name) => getModel(client, name),
    searchRegisteredModels: () => searchModels(client),

    async setRegisteredModelTag(name, key, value) {
      checkModelTag(key, value)
      await setModelTag(client, name, key, value)
    },

    async deleteRegisteredModelTag(name, key) {
      checkNotHistory(key)
      await deleteModelTag(client, name, key)
    },
  }
}

/** @throws NotFoundError. */
export async function getModel(client: MlflowClient, name: string): Promise<RegisteredModel> {
  return (await ofModel(client, name, client.get('registered-models/get', { name }, one))).registered_model
}

/** All of them, by name. */
export async function searchModels(client: MlflowClient): Promise<RegisteredModel[]> {
  const found = await allPages('registered_models', registeredModel, (schema, token) =>
    client.get('registered-models/search', { max_results: MOST, order_by: 'name ASC', page_token: token }, schema),
  )
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Sets a tag, unchecked. @throws NotFoundError. */
export async function setModelTag(client: MlflowClient, name: string, key: string, value: string): Promise<void> {
  await ofModel(client, name, client.send('POST', 'registered-models/set-tag', { name, key, value }, nothing))
}

/** Deletes a tag, unchecked. @throws NotFoundError. */
async function deleteModelTag(client: MlflowClient, name: string, key: string): Promise<void> {
  await ofModel(client, name, client.send('DELETE', 'registered-models/delete-tag', { name, key }, nothing))
}

/** The answer of a call about a model. @throws NotFoundError when there is no such model. */
export async function ofModel<T>(client: MlflowClient, name: string, call: Promise<T>): Promise<T> {
  return call.catch(async (error: unknown) => {
    throw isMissing(error) ? await missingModel(client, name) : error
  })
}

async function missingModel(client: MlflowClient, name: string): Promise<NotFoundError> {
  const existing = await searchModels(client)
  return noSuchModel(
    name,
    existing.map((model) => model.name),
  )
}
