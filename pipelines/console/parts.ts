import type { Tell } from '../../configs/tell.ts'
import type { Lake } from '../../datasets/lake/lake.ts'
import type { EventLog } from '../../datasets/log/event-log.ts'
import type { OnlineStore } from '../../features/store/online-store.ts'
import type { Context } from './command.ts'

/**
 * Opens the event log of the configuration. That it waits for a service is a line on stderr: a command that stands still says
 * why. `hear` is told, too.
 */
export async function openLog({ config, output }: Context, hear?: Tell): Promise<EventLog> {
  const { openEventLog } = await import('../../datasets/open.ts')
  return openEventLog(config.eventLog, both(output.note, hear))
}

/** Opens the online store of the configuration, as `openLog` the log. */
export async function openStore({ config, output }: Context, hear?: Tell): Promise<OnlineStore> {
  const { openOnlineStore } = await import('../../features/open.ts')
  return openOnlineStore(config.onlineStore, both(output.note, hear))
}

/** Opens the lake of the configuration, as `openLog` the log. */
export async function openLake({ config, output }: Context): Promise<Lake> {
  const lakes = await import('../../datasets/open.ts')
  return lakes.openLake(config.lake, config.s3, output.note)
}

function both(note: (line: string) => void, hear: Tell | undefined): Tell {
  return (line, outage) => {
    note(line)
    hear?.(line, outage)
  }
}
