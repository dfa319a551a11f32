import type { Writable } from 'node:stream'
import type { UserError } from '../../configs/user-error.ts'
import { answered, errorDocument } from './error-document.ts'
import { layoutPairs, layoutTable } from './layout.ts'

/** Progress of work whose number of steps is known or unknown. */
export interface Progress {
  update(done: number, detail?: string): void
  end(detail?: string): void
}

/**
 * What a command prints. Its result goes to stdout, as text or, with `--json`, as one JSON document. Everything else
 * goes to stderr, so that stdout can be piped.
 */
export interface Output {
  json: boolean
  /** Prints the result of the command. `text` is called only without `--json`. */
  result(document: unknown, text: () => string): void
  /** Prints a result that is a *no* or was cut short, and throws `error`, which becomes a part of the JSON document. */
  refuse(document: object, text: () => string, error: UserError): never
  /** Prints a line about what is going on, with the time. */
  note(line: string): void
  /** Prints a line of a tour that a person follows, such as the demo's, without the time. */
  say(line: string): void
  /** Opens a bar that redraws itself on a terminal. Elsewhere it is a line now and then. Short work shows nothing. */
  progress(label: string, total?: number): Progress
}

/** Opens a progress bar. A function that only shows how far it is takes this rather than an `Output`. */
export type OpenProgress = Output['progress']

/**
 * Shows nothing. A job reports through its queue: bars of several processes on one terminal would draw over each
 * other.
 */
export const noProgress: OpenProgress = () => ({ update: () => {}, end: () => {} })

/** Nothing is drawn for work that takes less than this. */
const PATIENCE_MS = 500
const REDRAW_MS = 100
const LINE_EVERY_MS = 10_000
const BAR_CELLS = 24

/** Streams whose last line is a bar that has not ended. */
const barred = new WeakSet<Writable>()
const CLEAR_LINE = '\r\x1b[K'

/** Streams that carry notes, so that their last line tells its time as those do. */
const noted = new WeakSet<Writable>()

/** The time as every line of a log carries it, ISO 8601 in UTC. */
function stamp(): string {
  return new Date().toISOString()
}

/** Writes a line that stays, below a bar that will not be updated any more. Below notes it carries the time. */
export function lastLine(line: string, stderr: Writable = process.stderr): void {
  stderr.write(`${barred.has(stderr) ? '\n' : ''}${noted.has(stderr) ? `${stamp()}  ` : ''}${line}\n`)
}

export function openOutput(
  json: boolean,
  stdout: Writable = process.stdout,
  stderr: Writable & { isTTY?: boolean } = process.stderr,
): Output {
  const result: Output['result'] = (document, text) =>
    void stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : `${text()}\n`)
  // The line takes the place of a bar, which draws itself again below.
  const say = (line: string): void => void stderr.write(`${barred.has(stderr) ? CLEAR_LINE : ''}${line}\n`)
  return {
    json,
    result,
    refuse: (document, text, error) => {
      result(Array.isArray(document) ? document : { ...document, ...errorDocument(error) }, text)
      throw answered(error)
    },
    note: (line) => {
      noted.add(stderr)
      say(`${stamp()}  ${line}`)
    },
    say,
    progress: (label, total) => openProgress(stderr, label, total),
  }
}

function openProgress(stderr: Writable & { isTTY?: boolean }, label: string, total: number | undefined): Progress {
  const started = performance.now()
  const terminal = stderr.isTTY === true
  let shown = started + PATIENCE_MS - (terminal ? REDRAW_MS : LINE_EVERY_MS)
  let drawn = false
  const draw = (line: string): void => {
    drawn = true
    stderr.write(terminal ? `${CLEAR_LINE}${line}` : `${line}\n`)
    if (terminal) barred.add(stderr)
  }
  return {
    update: (done, detail = '') => {
      const now = performance.now()
      if (now - shown < (terminal ? REDRAW_MS : LINE_EVERY_MS)) return
      shown = now
      draw(progressLine(label, done, total, (now - started) / 1000, detail))
    },
    end: (detail = '') => {
      const seconds = (performance.now() - started) / 1000
      if (!drawn) return
      draw(`${label}: done in ${seconds.toFixed(1)} s ${detail}`.trimEnd())
      if (terminal) stderr.write('\n')
      barred.delete(stderr)
    },
  }
}

function progressLine(label: string, done: number, total: number | undefined, seconds: number, detail: string): string {
  const rate = `${count(Math.round(done / seconds))}/s`
  if (total === undefined || total === 0) return `${label} ${count(done)} ${rate} ${detail}`.trimEnd()
  const share = Math.min(1, done / total)
  const cells = Math.round(share * BAR_CELLS)
  const left = share > 0 ? `${Math.ceil((seconds / share) * (1 - share))} s left` : ''
  const bar = '█'.repeat(cells) + '░'.repeat(BAR_CELLS - cells)
  const reached = `${Math.floor(share * 100)} % ${count(done)} of ${count(total)}`
  return `${label} ${bar} ${reached} ${rate} ${left} ${detail}`.trimEnd()
}

/** 1234567 → 1,234,567. */
export function count(value: number): string {
  return value.toLocaleString('en-US')
}

/** EpochMs → 2018-04-01 12:00:00. */
export function instant(time: number): string {
  return Number.isFinite(time) ? new Date(time).toISOString().slice(0, 19).replace('T', ' ') : 'never'
}

/** A number for a table: whole ones in full, others to four digits. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return 'n/a'
  if (Number.isInteger(value)) return count(value)
  return Math.abs(value) >= 1000 ? count(Math.round(value)) : String(Number(value.toPrecision(4)))
}

/**
 * Columns under a heading; columns of numbers are aligned to the right. No line is longer than the terminal is wide:
 * `layout.ts` says how.
 */
export function table(heading: string[], rows: (string | number)[][], width = terminalWidth()): string {
  const right = heading.map((_, c) => rows.length > 0 && rows.every((row) => typeof row[c] === 'number'))
  return layoutTable({ heading, rows: rows.map((row) => row.map(cellText)), right }, width)
}

/** Two columns: names and values. */
export function pairs(entries: [string, string | number][], width = terminalWidth()): string {
  return layoutPairs(
    entries.map(([name, value]) => [name, cellText(value)]),
    width,
  )
}

function cellText(value: string | number): string {
  return typeof value === 'number' ? figure(value) : value
}

/** Columns of the terminal on stdout. Infinity for a file, a pipe, and a terminal that does not say. */
export function terminalWidth({ isTTY, columns }: { isTTY?: boolean; columns?: number } = process.stdout): number {
  return isTTY === true && columns !== undefined && columns > 0 ? columns : Infinity
}
