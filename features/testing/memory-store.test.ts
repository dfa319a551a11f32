import { atOnce } from '../../datasets/testing/scheduler.ts'
import { onlineStoreContract } from '../store/online-store.contract.ts'
import { MemoryServer, openMemoryStore } from './memory-store.ts'

const servers = new Map<string, MemoryServer>()

onlineStoreContract(
  'memory:',
  async () => {
    const url = `memory:${servers.size}`
    servers.set(url, new MemoryServer())
    return url
  },
  async (url) => {
    const server = servers.get(url)
    if (server === undefined) throw new Error(`No server ${url}`)
    return openMemoryStore(server, atOnce)
  },
)
