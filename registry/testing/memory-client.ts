import type { z } from 'zod'
import type { Scheduler } from '../../datasets/testing/scheduler.ts'
import { SimulatedFault } from '../../datasets/testing/simulation.ts'
import type { MlflowClient } from '../mlflow/client.ts'
import type { Call, MemoryMlflow } from './memory-server.ts'

/** How often a call is made that may reach the server twice: its patience. */
const REPEATED = 2

/**
 * A client of a server in memory, whose scheduler decides when each call arrives and is answered. Like the client of a
 * real server it repeats what may arrive twice, so of a call whose answer is lost the effect may come twice.
 */
export function memoryClient(server: MemoryMlflow, scheduler: Scheduler): MlflowClient {
  const call = async <S extends z.ZodType>(
    name: string,
    body: Call,
    answer: S,
    attempts = REPEATED,
  ): Promise<z.output<S>> =>
    answer.parse(await repeated(attempts, () => scheduler.call(name, () => handled(server, name, body))))
  const file = <T>(name: string, effect: () => T): Promise<T> => repeated(REPEATED, () => scheduler.call(name, effect))
  return {
    url: 'memory:',
    get: async (path, query, answer, patience) => {
      const given = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined))
      if (path === 'registered-models/get') return answer.parse(await modelOf(server, scheduler, given['name']))
      return call(`GET ${path}`, given, answer, patience === 0 ? 1 : REPEATED)
    },
    send: (method, path, body, answer) => call(`${method} ${path}`, json(body), answer),
    sendOnce: (method, path, body, answer) => call(`${method} ${path}`, json(body), answer, 1),
    readFile: (path) => file(`GET ${path}`, () => server.files.get(path) ?? new Uint8Array()),
    writeFile: (path, bytes) => file(`PUT ${path}`, () => void server.files.set(path, bytes.slice())),
    deleteFile: (path) => file(`DELETE ${path}`, () => void server.files.delete(path)),
    pause: async (time) => void (await scheduler.wait(time, new Promise(() => {}))),
  }
}

function handled(server: MemoryMlflow, name: string, body: Call): object {
  if (!(name in server.calls)) throw new Error(`${name} is not in this model of a server`)
  return server.calls[name](body)
}

/** Two queries: what others write may come between them. */
async function modelOf(server: MemoryMlflow, scheduler: Scheduler, name: unknown): Promise<object> {
  const [tags, aliases] = server.modelInTwo(name)
  const model = await repeated(REPEATED, () => scheduler.call('GET registered-models/get', tags))
  return {
    registered_model: { ...model, ...(await repeated(REPEATED, () => scheduler.call('GET its aliases', aliases))) },
  }
}

async function repeated<T>(attempts: number, attempt: () => Promise<T>): Promise<T> {
  for (let left = attempts; ; left--) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof SimulatedFault) || left === 1) throw error
    }
  }
}

function json(body: object): Call {
  return JSON.parse(JSON.stringify(body)) as Call
}
