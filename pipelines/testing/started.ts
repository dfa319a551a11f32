import { startFd, startProgram, type FdProcess } from '../console/fd-process.ts'

/** Starts processes for a test. Disposing kills those that still run, whatever has failed, and waits for their end. */
export interface Started extends AsyncDisposable {
  fd(...args: Parameters<typeof startFd>): FdProcess
  program(...args: Parameters<typeof startProgram>): FdProcess
}

export function startedProcesses(): Started {
  const started = new Set<FdProcess>()
  const keep = (process: FdProcess): FdProcess => {
    started.add(process)
    const forget = (): void => void started.delete(process)
    process.ended.then(forget, forget)
    return process
  }
  return {
    fd: (...args) => keep(startFd(...args)),
    program: (...args) => keep(startProgram(...args)),
    async [Symbol.asyncDispose]() {
      // SIGKILL also ends one that is stopped.
      for (const { child } of started) child.kill('SIGKILL')
      await Promise.allSettled([...started].map(({ ended }) => ended))
    },
  }
}
