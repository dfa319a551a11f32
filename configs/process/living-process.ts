import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { errorCode } from '../user-error.ts'

/** Identifies a process of this machine. The start time tells it apart from a later process with the same pid. */
export interface ProcessMark {
  pid: number
  /** When it started, in clock ticks since boot; empty where the system has no /proc. */
  started: string
  /** Where pid and start mean something, as `thisPlace` gives it. Undefined in what older versions wrote. */
  place?: string
}

/** A process of any machine. */
export interface HostedProcess extends ProcessMark {
  /** Name of the machine, for people: several may have one name. */
  host: string
  place: string
}

/** The calling process, as others on any machine can name it. */
export function thisHostedProcess(): HostedProcess {
  return { ...thisProcess(), place: thisPlace(), host: hostname() }
}

/** `unknown`: the process is of another machine, of another boot or another pid namespace, which cannot be seen. */
export function hostedState(mark: HostedProcess): 'alive' | 'ended' | 'unknown' {
  if (mark.host !== hostname() || isElsewhere(mark)) return 'unknown'
  return processState(mark) === 'ended' ? 'ended' : 'alive'
}

/** The calling process. */
export function thisProcess(): ProcessMark {
  return { pid: process.pid, started: look(process.pid)?.started ?? '', place: thisPlace() }
}

/**
 * The boot of the machine and the pid namespace in it. Two containers have processes of the same pid, and after a
 * reboot another process may have the pid and even the start of an earlier one. So a mark of another place says nothing
 * here about whether its process lives.
 */
export function thisPlace(): string {
  place ??= `${bootId()}/${pidNamespace()}`
  return place
}

/** A process stays where it is. */
let place: string | undefined

/** Whether a process is of another place, so that nothing here tells whether it lives. */
export function isElsewhere(mark: Pick<ProcessMark, 'place'>): boolean {
  return mark.place !== undefined && mark.place !== thisPlace()
}

/** The state of a process of this place. A stopped process (SIGSTOP, Ctrl-Z) does nothing until it is continued. */
export function processState({ pid, started }: ProcessMark): 'running' | 'stopped' | 'ended' {
  const found = look(pid)
  // Without /proc, only the pid can be checked. With /proc, a missing entry means that the process has ended.
  if (found === undefined) return started === '' && hasPid(pid) ? 'running' : 'ended'
  if (found.started !== started || found.state === 'Z' || found.state === 'X') return 'ended'
  return found.state === 'T' ? 'stopped' : 'running'
}

/**
 * Number of this process's pid namespace; empty where the system has no /proc. A pid means nothing outside its
 * namespace, and the host name does not tell namespaces apart, because containers may share it.
 */
function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return ''
    throw error
  }
}

/** Changes with every start of the machine; empty where the system has no /proc. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
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

/**
 * State letter and start in clock ticks since boot (`/proc/PID/stat`, fields 3 and 22). Undefined when the process has
 * ended, or where the system has no /proc.
 */
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
