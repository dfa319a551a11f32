import { errorCode } from '../../configs/user-error.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'

/** The methods of calls that change something. */
export type Method = 'POST' | 'PATCH' | 'DELETE'

/** One HTTP request to an MLflow server. */
export interface Request {
  method: Method | 'GET' | 'PUT'
  url: string
  headers?: Record<string, string>
  body?: string | Uint8Array<ArrayBuffer>
  /** May reach the server twice without harm. */
  repeatable: boolean
  /** How long one attempt may take. */
  within: DurationMs
}

/** What the server sent back. `body` of a redirect is its location. */
export interface Answer {
  status: number
  body: Uint8Array
}

/** How one attempt ended: with an answer, or with what `fetch` threw. */
export type Outcome = Answer | { error: unknown }

/** Statuses of a fault that may pass by itself. */
export const MOMENTARY = new Set([408, 429, 500, 502, 503, 504])

/** Node's or undici's code for a connection that failed. fetch says only "fetch failed"; the reason is its cause. */
export function connectionCode(error: unknown): string {
  return (error instanceof Error ? errorCode(error.cause) : undefined) ?? ''
}

/** The JSON of an answer; undefined when it is none. */
export function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString())
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** `GET runs/get`: a request as messages name it, without host and query. */
export function pathOf({ method, url }: Request): string {
  return `${method} ${new URL(url).pathname.replace(/^.*\/api\/2\.0\/(mlflow\/)?/, '')}`
}
