import { eventLogContract } from '../log/event-log.contract.ts'
import { MemoryBroker } from './memory-broker.ts'
import { openMemoryLog } from './memory-log.ts'
import { atOnce } from './scheduler.ts'

const brokers = new Map<string, MemoryBroker>()
function fresh(): string {
  const url = `memory:${brokers.size}`
  brokers.set(url, new MemoryBroker())
  return url
}

function broker(url: string): MemoryBroker {
  const found = brokers.get(url)
  if (found === undefined) throw new Error(`No broker ${url}`)
  return found
}

eventLogContract('memory', {
  fresh,
  freshWithShortSession: fresh,
  open: async (url) => openMemoryLog(broker(url), atOnce),
  processes: false,
  async evictOwner(url, group, topic) {
    const found = broker(url).group(group, topic)
    broker(url).evict(found, () => true)
  },
  fractionalTime: true,
  retentionByRecordTime: false,
})
