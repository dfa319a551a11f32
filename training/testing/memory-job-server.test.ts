import { atOnce } from '../../datasets/testing/scheduler.ts'
import { jobQueueContract } from '../queue/job-queue.contract.ts'
import { jobServerContract } from '../queue/shared/job-server.contract.ts'
import { openSharedQueue } from '../queue/shared/queue.ts'
import { openMemoryJobServer } from './memory-job-server.ts'
import { MemoryJobs } from './memory-jobs.ts'

const servers = new Map<string, MemoryJobs>()

function fresh(): string {
  const url = `memory:${servers.size}`
  servers.set(url, new MemoryJobs(Date.now))
  return url
}

jobQueueContract('a server in memory', fresh, {
  open: async (url) => {
    const jobs = servers.get(url)
    if (jobs === undefined) throw new Error(`No server ${url}`)
    return openSharedQueue(openMemoryJobServer(jobs, atOnce), 5_000)
  },
  processes: false,
})

let newest = new MemoryJobs(Date.now)
jobServerContract('memory', {
  open: async () => openMemoryJobServer((newest = new MemoryJobs(Date.now)), atOnce),
  loseLock: async (id) => void delete newest.jobs.get(id)?.lock,
})
