/**
 * A process that writes to a registry: `node writer.ts URL JOB …`. `startWriter` of the contract starts it. It prints
 * `open` when the registry is, and then a line for each step that was acknowledged.
 */
import { openRegistry } from '../open.ts'
import { promote } from '../promotion/promotion.ts'
import type { Registry } from '../registry.ts'

const [url, job, ...rest] = process.argv.slice(2)
let time = 1_000

const jobs: Record<string, (registry: Registry) => Promise<void>> = {
  /** RUN KEY COUNT: one metric a call. */
  async metrics(registry) {
    const [runId, key, count] = rest
    for (let step = 0; step < Number(count); step++) {
      await registry.logBatch(runId, { metrics: [{ key, value: step, step }], tags: { last: `${key} ${step}` } })
    }
  },
  /** NAME SOURCE COUNT ALIAS: versions, each promoted. */
  async versions(registry) {
    const [name, source, count, alias] = rest
    for (let index = 0; index < Number(count); index++) {
      const given = await registry.getModelVersion(name, 1)
      const { version } = await registry.createModelVersion({ name, source, tags: given.tags })
      const verdict = await promote(registry, {
        name,
        version,
        alias,
        gates: [],
        by: String(process.pid),
        now: time++,
      })
      process.stdout.write(`${version} ${verdict.outcome}\n`)
    }
  },
  /** RUN: batches and artifacts until killed. */
  async forever(registry) {
    const [runId] = rest
    for (let step = 0; ; step++) {
      await registry.logBatch(runId, {
        metrics: [{ key: `pid-${process.pid}`, value: step, step }],
        params: { [`p-${process.pid}-${step}`]: String(step) },
      })
      await registry.logArtifact(runId, `pid-${process.pid}/${step}.bin`, new Uint8Array(100_000).fill(step))
      process.stdout.write(`${step}\n`)
    }
  },
}

await using registry = await openRegistry(url, { now: () => time++ })
process.stdout.write('open\n')
await jobs[job](registry)
