/**
 * `npm run soak -- --events 10000000 --kills 1000 [--seed 1] [--services]`: a long stream through processes that are
 * killed and stopped at random; with `--services` on a Kafka and a Redis that are killed, too. Prints JSON on stdout,
 * progress on stderr. Exit 1 when it found a fault; its folder is kept then.
 */
import { parseArgs } from 'node:util'
import { embedded, onServices } from './place.ts'
import { soak } from './run.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    services: { type: 'boolean', default: false },
  },
})
const [events, kills, seed] = [values.events, values.kills, values.seed].map(Number)
if (![events, kills, seed].every(Number.isSafeInteger) || events < 1_000 || kills < 1) {
  process.stderr.write('Give whole numbers: --events from 1000 on, --kills from 1 on, --seed.\n')
  process.exit(2)
}
const tell = (line: string): void => void process.stderr.write(`${line}\n`)
await using place = await (values.services ? onServices() : embedded())
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
