import { DatabaseSync } from 'node:sqlite'
import type { Scheduler } from '../../datasets/testing/scheduler.ts'
import { registryOver as registryOverServer } from '../mlflow/registry.ts'
import { HISTORY_TAG } from '../naming.ts'
import type { Registry } from '../registry.ts'
import { databaseOver } from '../sqlite/database.ts'
import { registryOver as registryOverDatabase } from '../sqlite/registry.ts'
import { migrate } from '../sqlite/schema.ts'
import { memoryClient } from './memory-client.ts'
import { MemoryMlflow } from './memory-server.ts'

/** Where writers of a simulation write, with the driver that they use there. */
export interface RegistryWorld {
  /** The registry as a process has it open. */
  open(scheduler: Scheduler): Registry
  /** Logs the one file of a model folder, and gives its source. */
  logModel(): Promise<string>
  /** Told when an entry of the history, once written, becomes another or is gone. */
  onChange: (what: string) => void
}

/** Everything at once: for what comes before and after a simulation. */
export const immediate: Scheduler = {
  name: 'immediate',
  now: () => 1_000,
  call: async (_, effect) => effect(),
  wait: async () => true,
}

/** The driver of an MLflow server on a model of one. Each call of the REST API is a step. */
export function mlflowWorld(): RegistryWorld {
  const server = new MemoryMlflow(immediate.now)
  const open = (scheduler: Scheduler): Registry => registryOver(server, scheduler)
  const world: RegistryWorld = { open, logModel: () => logModel(open(immediate)), onChange: () => {} }
  server.onModelTag = (_, key, before, value) => {
    if (key.startsWith(HISTORY_TAG) && before !== undefined && before !== value) world.onChange(key)
  }
  return world
}

function registryOver(server: MemoryMlflow, scheduler: Scheduler): Registry {
  return registryOverServer(memoryClient(server, scheduler), () => scheduler.now())
}

async function logModel(registry: Registry): Promise<string> {
  const { runId } = await registry.createRun('0')
  await registry.logArtifact(runId, 'model/model.onnx', Buffer.from('graph'))
  return `runs:/${runId}/model`
}

/**
 * The embedded driver on a database in memory. Each verb is one transaction there, and so it is one step: SQLite has
 * the writers of all processes take turns. Triggers of the schema keep the history from changes.
 */
export function sqliteWorld(): RegistryWorld {
  const connection = new DatabaseSync(':memory:', { enableForeignKeyConstraints: true })
  migrate(connection, ':memory:', 0, () => {})
  const database = databaseOver(connection, ':memory:')
  return {
    open: (scheduler) => stepped(registryOverDatabase(database, '/', { now: () => scheduler.now() }), scheduler),
    async logModel() {
      const { runId } = await registryOverDatabase(database, '/', { now: immediate.now }).createRun('0')
      // As logArtifact leaves it, without a file on disk.
      database.run("INSERT INTO artifacts VALUES (?, 'model/model.onnx', 5, '')", runId)
      return `runs:/${runId}/model`
    },
    onChange: () => {},
  }
}

/** A registry whose verbs do all they do before they first give way, each as a step of a scheduler. */
function stepped(registry: Registry, scheduler: Scheduler): Registry {
  return new Proxy(registry, {
    get(target, verb: keyof Registry) {
      const call = target[verb] as (...parameters: unknown[]) => Promise<unknown>
      return (...parameters: unknown[]) =>
        scheduler.call(String(verb), () => {
          const result = call.apply(target, parameters)
          // Whoever is told of a fault instead of the result hears nothing of a refusal.
          result.catch(() => {})
          return result
        })
    },
  })
}
