import { createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { makeFolder } from '../../configs/folder.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import { startsWith } from '../file/csv-bytes.ts'
import { unzipOnly, ZIP_MAGIC } from '../file/zip.ts'

/** One file to bring from Kaggle's API. */
export interface KaggleDownload {
  url: string
  username: string
  key: string
  /** Where the file goes, once complete and checked. */
  file: string
  report: (bytes: number, total: number | undefined) => void
  /** @throws UserError when the content is not what was asked for. */
  check: (candidate: string) => Promise<void>
}

/**
 * Downloads a file: continues what an earlier call left in `FILE.partial`, unzips it when Kaggle sends a zip, checks
 * it, and renames it. When the connection is cut, it asks again at once, as long as each attempt brings bytes.
 *
 * @throws UserError when Kaggle refuses, an attempt brings nothing, the disk is full, or the check fails. A download
 * that fails the check is deleted.
 */
export async function downloadFromKaggle(download: KaggleDownload): Promise<void> {
  const partial = `${download.file}.partial`
  const unzipped = `${download.file}.unzipped`
  makeFolder(dirname(download.file))
  while (!(await attempt(download, partial))) {
    // Each turn brought bytes, so the loop ends.
  }
  try {
    const zipped = startsWith(partial, ZIP_MAGIC)
    if (zipped) await pipeline(await unzipOnly(partial), createWriteStream(unzipped))
    const candidate = zipped ? unzipped : partial
    await download.check(candidate)
    renameSync(candidate, download.file)
  } catch (error) {
    throw new UserError(
      `${errorMessage(error)}\nWhat was downloaded is deleted. Run again: fd datasets fetch kaggle-cc`,
      { cause: error },
    )
  } finally {
    rmSync(partial, { force: true })
    rmSync(unzipped, { force: true })
  }
}

/** One request for the missing bytes. True: all are here; false: cut off, but with progress. */
async function attempt(download: KaggleDownload, partial: string): Promise<boolean> {
  const have = sizeOf(partial)
  const response = await request(download, have)
  if (response.status === 416) return isComplete(response, have, partial)
  if (!response.ok || response.body === null) throw refusal(response, download.url)
  return receive(download, response, have, partial)
}

/** Asks for the bytes from `have` on. */
async function request({ url, username, key }: KaggleDownload, have: number): Promise<Response> {
  const authorization = `Basic ${Buffer.from(`${username}:${key}`).toString('base64')}`
  // `identity`: a range counts the bytes as sent, so they must be those of the file.
  const headers = { authorization, 'accept-encoding': 'identity', ...(have > 0 ? { range: `bytes=${have}-` } : {}) }
  try {
    return await fetch(url, { headers })
  } catch (error) {
    throw unreachable(url, have, error)
  }
}

/** Appends the answer to the partial file, or begins it anew when Kaggle sends the whole file. Returns as `attempt`. */
async function receive(
  { url, report }: KaggleDownload,
  response: Response,
  have: number,
  partial: string,
): Promise<boolean> {
  const continued = response.status === 206
  const length = Number(response.headers.get('content-length') ?? NaN)
  const total = Number.isNaN(length) ? undefined : length + (continued ? have : 0)
  let bytes = continued ? have : 0
  const cut: { error?: unknown } = {}
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of upToCut(response.body, cut)) {
      report((bytes += chunk.length), total)
      yield chunk
    }
  }
  try {
    await pipeline(counted, createWriteStream(partial, { flags: continued ? 'a' : 'w' }))
  } catch (error) {
    throw unreachable(url, sizeOf(partial), error)
  }
  if (cut.error === undefined) return true
  if (bytes > have) return false
  throw unreachable(url, have, cut.error)
}

/** The bytes of a body until it breaks off, which are all kept; the reason goes into `cut`. */
async function* upToCut(body: Response['body'], cut: { error?: unknown }): AsyncGenerator<Uint8Array> {
  try {
    if (body !== null) yield* body
  } catch (error) {
    cut.error = error
  }
}

/**
 * Kaggle has no further bytes. When the lengths agree the file is complete; else the partial file is of another one.
 */
function isComplete(response: Response, have: number, partial: string): boolean {
  const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
  if (total !== undefined && Number(total) === have) return true
  rmSync(partial)
  return false
}

function sizeOf(file: string): number {
  return existsSync(file) ? statSync(file).size : 0
}

function unreachable(url: string, have: number, error: unknown): UserError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  return new UserError(
    `The download from ${new URL(url).host} stopped after ${have} bytes: ${errorMessage(cause)}\n` +
      'Run again to continue there: fd datasets fetch kaggle-cc',
    { cause: error },
  )
}

function refusal(response: Response, url: string): UserError {
  const who = new URL(url).host
  if (response.status === 401) {
    return new UserError(
      `${who} does not accept KAGGLE_USERNAME and KAGGLE_KEY (401). ` +
        'Make a new key at https://www.kaggle.com/settings and run again: fd datasets fetch kaggle-cc',
    )
  }
  if (response.status === 403) {
    return new UserError(
      `${who} does not let this user download (403). ` +
        'Accept the terms at https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud ' +
        'and run again: fd datasets fetch kaggle-cc',
    )
  }
  return new UserError(
    `${who} answered ${response.status} ${response.statusText}. ` +
      'Run again later: fd datasets fetch kaggle-cc. Or give the file: --data creditcard.csv',
  )
}
