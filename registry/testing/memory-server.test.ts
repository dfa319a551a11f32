import { atOnce } from '../../datasets/testing/scheduler.ts'
import { registryOver } from '../mlflow/registry.ts'
import { registryContract } from '../registry.contract.ts'
import { memoryClient } from './memory-client.ts'
import { MemoryMlflow } from './memory-server.ts'

/** The driver of an MLflow server, on the model of one: what a real server is held to, its model is held to as well. */
let server: MemoryMlflow

registryContract(
  'a server in memory',
  async () => {
    server = new MemoryMlflow(() => 1_000_000)
    return 'memory:'
  },
  { processes: false, open: async (_, { now }) => registryOver(memoryClient(server, atOnce), now) },
)
