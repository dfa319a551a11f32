import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import type { MlflowCredentials } from '../registry.ts'
import { authorization } from './credentials.ts'
import { notMlflow } from './fault.ts'
import { answered } from './patience.ts'
import { jsonOf, pathOf, type Answer, type Method, type Request } from './request.ts'

/**
 * The REST API of an MLflow 3 server: JSON under `api/2.0/mlflow`, files under `api/2.0/mlflow-artifacts/artifacts`.
 *
 * Every call may throw a UserError: the server is gone, answers 401 or 403, is no MLflow server, or refuses in its own
 * words (MlflowError).
 */
export interface MlflowClient {
  /** The server, without credentials. */
  url: string
  /** @param query undefined values are left out. @param patience for this call alone. */
  get<S extends z.ZodType>(path: string, query: Query, answer: S, patience?: DurationMs): Promise<z.output<S>>
  /** A call that may reach the server twice without harm: a search, or a write of the same value to the same place. */
  send<S extends z.ZodType>(method: Method, path: string, body: object, answer: S): Promise<z.output<S>>
  /** A call that makes something new each time. It is repeated only when the server surely did nothing. */
  sendOnce<S extends z.ZodType>(method: Method, path: string, body: object, answer: S): Promise<z.output<S>>
  /** @param path below the server's artifact root. */
  readFile(path: string): Promise<Uint8Array>
  writeFile(path: string, bytes: Uint8Array): Promise<void>
  deleteFile(path: string): Promise<void>
  /** Waits for what others may be doing. */
  pause(time: DurationMs): Promise<void>
}

type Query = Record<string, string | number | undefined>

/** For answers of which nothing is read. */
export const nothing = z.object({})

/** How long a call is repeated in all: as long as a server takes to restart. */
const PATIENCE: DurationMs = 15_000
/** A server that has the request but says nothing for this long is not asked again. */
const ANSWER_WITHIN: DurationMs = 30_000
const FILE_WITHIN: DurationMs = 600_000

/**
 * Makes a client; nothing is sent yet. `patience.ts` says when a call is repeated.
 *
 * @param url `http://` or `https://`, with a path where the server is behind one. `user:password@` is taken as
 * credentials.
 * @param patience how long a call is repeated in all.
 */
export function mlflowClient(
  url: string,
  credentials: MlflowCredentials = {},
  patience: DurationMs = PATIENCE,
): MlflowClient {
  const connection = connectionTo(url, credentials, patience)
  const { server } = connection
  return {
    url: server,
    get: (path, query, answer, ownPatience) =>
      jsonAnswer(connection, reading(server, path, query), answer, ownPatience),
    send: (method, path, body, answer) =>
      jsonAnswer(connection, { ...writing(server, method, path, body), repeatable: true }, answer),
    sendOnce: (method, path, body, answer) =>
      jsonAnswer(connection, { ...writing(server, method, path, body), repeatable: false }, answer),
    readFile: async (path) => (await fileAnswer(connection, 'GET', path)).body,
    async writeFile(path, bytes) {
      await fileAnswer(connection, 'PUT', path, bytes)
    },
    async deleteFile(path) {
      await fileAnswer(connection, 'DELETE', path)
    },
    pause: (time) => wait(time),
  }
}

/** What all requests of a client share. */
interface Connection {
  /** The server's URL, without credentials. */
  server: string
  headers: Record<string, string>
  patience: DurationMs
}

function connectionTo(url: string, credentials: MlflowCredentials, patience: DurationMs): Connection {
  const { server, header } = authorization(url, credentials)
  const headers = { ...(header === undefined ? {} : { authorization: header }), ...closing(server) }
  return { server, headers, patience }
}

/**
 * MLflow's server (uvicorn with several workers) leaves Nagle's algorithm on and writes head and body apart. On a
 * connection that is kept, each answer therefore waits 40 ms for a delayed acknowledgement: 46 ms against 7 ms for the
 * alias of a champion, measured. A new connection is acknowledged at once and costs plain HTTP one round trip. What
 * stands in front of a server for TLS has no such delay.
 */
function closing(server: string): Record<string, string> {
  return server.startsWith('http:') ? { connection: 'close' } : {}
}

function reading(server: string, path: string, query: Query): Request {
  return {
    method: 'GET',
    url: `${server}/api/2.0/mlflow/${path}${searchOf(query)}`,
    repeatable: true,
    within: ANSWER_WITHIN,
  }
}

function writing(server: string, method: Method, path: string, body: object): Omit<Request, 'repeatable'> {
  return {
    method,
    url: `${server}/api/2.0/mlflow/${path}`,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
    within: ANSWER_WITHIN,
  }
}

async function jsonAnswer<S extends z.ZodType>(
  connection: Connection,
  request: Request,
  answer: S,
  patience = connection.patience,
): Promise<z.output<S>> {
  const { server } = connection
  const headers = { ...connection.headers, ...request.headers }
  const { body } = await answered({ ...request, headers }, server, patience)
  const parsed = answer.safeParse(jsonOf(body))
  if (parsed.success) return parsed.data
  const given = `an answer without what MLflow answers to ${pathOf(request)}`
  throw notMlflow(server, given, z.prettifyError(parsed.error))
}

/** Files may be read, written and deleted twice without harm. */
function fileAnswer(
  { server, headers, patience }: Connection,
  method: 'GET' | 'PUT' | 'DELETE',
  path: string,
  bytes?: Uint8Array,
): Promise<Answer> {
  const request: Request = {
    method,
    url: `${server}/api/2.0/mlflow-artifacts/artifacts/${path.split('/').map(encodeURIComponent).join('/')}`,
    headers,
    // Not a copy: fetch takes no SharedArrayBuffer, which bytes of an artifact never are.
    body: bytes as Uint8Array<ArrayBuffer> | undefined,
    repeatable: true,
    within: FILE_WITHIN,
  }
  return answered(request, server, patience)
}

function searchOf(query: Query): string {
  const given = Object.entries(query).flatMap(([key, value]): [string, string][] =>
    value === undefined ? [] : [[key, String(value)]],
  )
  return given.length === 0 ? '' : `?${String(new URLSearchParams(given))}`
}
