import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig, withHome, type Config } from '../../configs/config.ts'
import { REAL_DATA } from '../../configs/testing/real-data.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { simulateToParquet } from '../../datasets/simulator/simulator.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import { openRegistry } from '../../registry/open.ts'
import { runPromote } from '../commands/models.ts'
import { train } from '../commands/train.ts'
import { openOutput } from '../console/output.ts'

/** What a benchmark of the scorer needs: a home with a champion, and the transactions to send. */
export interface BenchWorld extends AsyncDisposable {
  config: Config
  dataset: Dataset
  machine: string
}

/**
 * Makes a home with the default boosting model, trained on the Handbook's transactions if they are here, else on a
 * simulation of the same size. Everything is embedded except what `places` names.
 */
export async function makeBenchWorld(
  places: Partial<Pick<Config, 'eventLog' | 'onlineStore'>> = {},
): Promise<BenchWorld> {
  const home = await mkdtemp(join(tmpdir(), 'fd-bench-'))
  const config = { ...withHome(loadConfig(), home), ...places }
  const handbook = join(REAL_DATA, 'handbook-raw.parquet')
  const simulated = join(home, 'simulated.parquet')
  const name = existsSync(handbook) ? 'handbook' : 'simulated'
  if (name === 'simulated')
    await simulateToParquet(
      { customers: 5000, terminals: 10_000, days: 183, seed: 0, start: Date.UTC(2018, 3, 1) },
      simulated,
      () => {},
    )
  const data = name === 'handbook' ? handbook : simulated
  await using registry = await openRegistry(config.registry, { now: Date.now, credentials: config.mlflow })
  const parts = { registry, config, openProgress: openOutput(true).progress }
  const { version } = await train(parts, {
    dataset: name,
    data,
    model: 'boosting',
    register: 'card-fraud',
    seed: 0,
    alertsPerDay: 100,
    split: 'delayed',
    trainFrom: Date.UTC(2018, 6, 25),
  })
  await runPromote(parts, 'card-fraud', version ?? 0, { alias: 'champion', margin: 0 })
  return {
    config,
    dataset: await openDataset(name, config, { data }),
    machine: `${cpus().length} × ${cpus()[0].model}, Node ${process.version}`,
    [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }),
  }
}

export const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]
