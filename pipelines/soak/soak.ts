/**
 * `npm run soak -- --events 10000000 --kills 1000 [--seed 1] [--services]`: a long stream through processes that are
 * killed and stopped at random; with `--services` on a Kafka and a Redis that are killed, too. Prints JSON on stdout,
 * progress on stderr. Exit 1 when it found a fault; its folder is kept then.
 */
import { parseArgs } from 'node:util'
import { errorMessage } from '../../configs/user-error.ts'
import { embedded, onServices } from './place.ts'
import { soak } from './run.ts'

const OPTIONS = {
  events: { type: 'string', default: '1000000' },
  kills: { type: 'string', default: '100' },
  seed: { type: 'string', default: '1' },
  services: { type: 'boolean', default: false },
} as const
const tell = (line: string): void => void process.stderr.write(`${line}\n`)

function asked(): { events: number; kills: number; seed: number; services: boolean } {
  try {
    const { services, ...texts } = parseArgs({ options: OPTIONS }).values
    const [events, kills, seed] = [texts.events, texts.kills, texts.seed].map(Number)
    if ([events, kills, seed].every(Number.isSafeInteger) && events >= 1_000 && kills >= 1)
      return { events, kills, seed, services }
  } catch (error) {
    tell(errorMessage(error))
  }
  tell('Give whole numbers: --events from 1000 on, --kills from 1 on, --seed; and --services or not.')
  process.exit(2)
}

const { events, kills, seed, services } = asked()
await using place = await (services ? onServices() : embedded())
const { world } = place
try {
  const report = await soak(world, place.log, { seed, events, kills, servers: place.servers, tell })
  console.log(JSON.stringify(report, null, 2))
  if (report.faults.length > 0) {
    tell(`Seed ${seed} found faults. Its folder is kept: ${world.home}`)
    process.exitCode = 1
  } else await world[Symbol.asyncDispose]()
} catch (error) {
  tell(`Seed ${seed} failed. Its folder is kept: ${world.home}`)
  throw error
}
