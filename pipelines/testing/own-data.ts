import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Prediction } from '../../serving/prediction.ts'
import type { Ended, FdProcess } from '../console/fd-process.ts'
import { startedProcesses } from './started.ts'

/**
 * A home, and a folder of datasets beside it, as a user has them who describes tables of their own. Disposing kills
 * what was started there and still runs.
 */
export interface OwnData extends AsyncDisposable {
  home: string
  /** The folder of datasets. */
  folder: string
  /** Writes a file into the folder of datasets. Resolves to its path. */
  write(name: string, content: string | Uint8Array): string
  /** Runs `fd` here and expects it to succeed; resolves to what it printed. */
  fd(...args: string[]): Promise<string>
  /** Runs `fd` here and resolves however it ends. */
  try(...args: string[]): Promise<Ended>
  /** Starts `fd` here and leaves it running. */
  start(...args: string[]): FdProcess
  /** All predictions, in log order. */
  predictions(): Promise<Prediction[]>
}

/** @param files content by name: descriptions (`NAME.yaml`) and the tables that they name. */
export function ownData(files: Record<string, string> = {}): OwnData {
  const root = mkdtempSync(join(tmpdir(), 'fd-own-'))
  const [home, folder] = [join(root, 'home'), join(root, 'datasets')]
  mkdirSync(folder)
  const write: OwnData['write'] = (name, content) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  for (const [name, content] of Object.entries(files)) write(name, content)
  const started = startedProcesses()
  const start: OwnData['start'] = (...args) => started.fd(home, args, { FD_DATASET_FOLDER: folder })
  const fd: OwnData['fd'] = async (...args) => {
    const { code, signal, stdout, stderr } = await start(...args).ended
    if (code !== 0) throw new Error(`fd ${args.join(' ')} ended with ${code ?? signal}: ${stderr}\n${stdout}`)
    return stdout
  }
  return {
    home,
    folder,
    write,
    fd,
    start,
    try: (...args) => start(...args).ended,
    predictions: async () => {
      const lines = (await fd('topics', 'read', 'predictions')).split('\n').filter((line) => line !== '')
      return lines.map((line) => (JSON.parse(line) as { value: Prediction }).value)
    },
    async [Symbol.asyncDispose]() {
      await started[Symbol.asyncDispose]()
      await rm(root, { recursive: true, force: true })
    },
  }
}
