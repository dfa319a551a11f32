import type { Writable } from 'node:stream'

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
  /** Prints a line about what is going on. */
  note(line: string): void
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

/** Writes a line that stays, below a bar that will not be updated any more. */
export function lastLine(line: string, stderr: Writable = process.stderr): void {
  stderr.write(`${barred.has(stderr) ? '\n' : ''}${line}\n`)
}

export function openOutput(
  json: boolean,
  stdout: Writable = process.stdout,
  stderr: Writable & { isTTY?: boolean } = process.stderr,
): Output {
  return {
    json,
    result: (document, text) => void stdout.write(json ? `${JSON.stringify(document, null, 2)}\n` : `${text()}\n`),
    // The note takes the place of a bar, which draws itself again below.
    note: (line) => void stderr.write(`${barred.has(stderr) ? CLEAR_LINE : ''}${line}\n`),
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

/** Aligned columns under a heading; columns of numbers are aligned to the right. */
export function table(heading: string[], rows: (string | number)[][]): string {
  const cells = [heading, ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? figure(cell) : cell)))]
  const widths = heading.map((_, c) => Math.max(...cells.map((row) => (row[c] ?? '').length)))
  const right = heading.map((_, c) => rows.length > 0 && rows.every((row) => typeof row[c] === 'number'))
  const line = (row: string[]): string =>
    row
      .map((cell, c) => (right[c] ? cell.padStart(widths[c]) : cell.padEnd(widths[c])))
      .join('  ')
      .trimEnd()
  return [line(cells[0]), widths.map((width) => '─'.repeat(width)).join('  '), ...cells.slice(1).map(line)].join('\n')
}

/** Two columns: names and values. */
export function pairs(entries: [string, string | number][]): string {
  const width = Math.max(...entries.map(([name]) => name.length))
  return entries
    .map(([name, value]) => `${name.padEnd(width)}  ${typeof value === 'number' ? figure(value) : value}`)
    .join('\n')
}
