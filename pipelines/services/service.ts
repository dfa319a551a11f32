import type { ServiceName } from '../../configs/config.ts'
import type { Launch } from './process.ts'

/** A server that `fd` can install, start, check and stop on 127.0.0.1. */
export interface Service {
  name: ServiceName
  port: number
  /** The URL for clients. Redis's password is part of it; the keys of S3 are in `environment`. */
  url: string
  /** Variables that point any program to the server, for `fd services env`. */
  environment: Record<string, string>
  /** A sentence that says what is not installed and ends with the command that gets it; undefined when nothing is. */
  missing(): string | undefined
  /** Downloads what is missing, once for all homes. */
  install(): Promise<void>
  /** Writes the server's files into its folder, keeps the data of earlier runs, and returns how to start it. */
  prepare(folder: string): Promise<Launch>
  /** Resolves to the version that answers; rejects while the server does not answer. */
  check(): Promise<string>
  /** Work to do once after each start, such as making the bucket. */
  finish?(): Promise<void>
  /** The longest start on a slow machine, and the longest orderly stop. */
  patience: { startMs: number; stopMs: number }
}

/** The state of a service at this moment. */
export interface ServiceStatus {
  name: ServiceName
  state: 'running' | 'unhealthy' | 'stopped' | 'not installed'
  pid?: number
  port: number
  version?: string
  /** Why it is not running, or what to do. */
  detail: string
}
