import { readFileSync, readlinkSync } from 'node:fs'
import { errorCode } from '../../configs/user-error.ts'

/** A process of this machine, told apart from a later one that was given the same pid. */
export interface ProcessMark {
  pid: number
  /** When it started, as its system counts it; empty where the system has no /proc. */
  started: string
}

/** The process that asks. */
export function thisProcess(): ProcessMark {
  return { pid: process.pid, started: look(process.pid)?.started ?? '' }
}

/** What has become of a process. A stopped one (SIGSTOP, Ctrl-Z) does nothing until it is continued. */
export function processState({ pid, started }: ProcessMark): 'running' | 'stopped' | 'ended' {
  const found = look(pid)
  // Without /proc the pid is all there is to go by; with it, the process has just ended.
  if (found === undefined) return started === '' && hasPid(pid) ? 'running' : 'ended'
  if (found.started !== started || found.state === 'Z' || found.state === 'X') return 'ended'
  return found.state === 'T' ? 'stopped' : 'running'
}

/** Number of the pid namespace, outside of which this system's pids mean nothing: containers may share a host's name. Empty where the system has no /proc. */
export function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return ''
    throw error
  }
}

function hasPid(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

/** State letter and start in clock ticks since boot (`/proc/PID/stat`, fields 3 and 22); undefined when it has ended or the system has no /proc. */
function look(pid: number): { state: string; started: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state, started: fields[18] }
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined
    throw error
  }
}
