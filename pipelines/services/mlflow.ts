import { join } from 'node:path'
import { makeFolder } from '../../configs/folder.ts'
import { canInstallPackages, isInstalled, onPath } from './install.ts'
import type { Launch } from './process.ts'
import { installPython, pythonOf } from './python-environment.ts'
import type { Service } from './service.ts'

const ANSWER_MS = 5000

/** MLflow's tracking server and registry, from PyPI in a virtual environment, on SQLite and a folder of artifacts. */
export function mlflowService({ port, version }: { port: number; version: string }, cache: string): Service {
  const installed = join(cache, `mlflow-${version}`)
  const url = `http://127.0.0.1:${port}`
  return {
    name: 'mlflow',
    port,
    url,
    environment: { MLFLOW_TRACKING_URI: url },
    missing: () => missing(installed, version),
    install: () => installPython(installed, [`mlflow==${version}`]),
    prepare: async (folder) => prepare(installed, folder, port),
    check: () => askVersion(url),
    // The first start imports cold from disk and makes the database's tables in a hundred migrations.
    patience: { startMs: 240_000, stopMs: 20_000 },
  }
}

function missing(installed: string, version: string): string | undefined {
  if (isInstalled(installed)) return undefined
  if (onPath('python3') === undefined && !canInstallPackages())
    return 'MLflow needs Python 3.10 or later. Run: sudo apt-get install -y python3-venv'
  return `MLflow ${version} is not installed (850 MB from PyPI). Run: fd services up mlflow --install`
}

function prepare(installed: string, folder: string, port: number): Launch {
  const artifacts = join(folder, 'artifacts')
  makeFolder(artifacts)
  // Run as a module: the environment's scripts name its path in their first line, which has a length limit.
  const server = ['-m', 'mlflow', 'server', '--host', '127.0.0.1', '--port', String(port), '--workers', '1']
  const database = ['--backend-store-uri', `sqlite:///${join(folder, 'mlflow.db')}`]
  return {
    command: pythonOf(installed),
    args: [...server, ...database, '--artifacts-destination', artifacts, '--serve-artifacts'],
    env: {
      MLFLOW_DISABLE_TELEMETRY: 'true',
      MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
      GIT_PYTHON_REFRESH: 'quiet',
      PYTHONUNBUFFERED: '1',
    },
  }
}

async function askVersion(url: string): Promise<string> {
  const health = await fetch(`${url}/health`, { signal: AbortSignal.timeout(ANSWER_MS) })
  if (!health.ok) throw new Error(`GET ${url}/health answered ${health.status}`)
  return (await (await fetch(`${url}/version`, { signal: AbortSignal.timeout(ANSWER_MS) })).text()).trim()
}
