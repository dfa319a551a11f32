import type { ScoreTotals } from '../commands/score.ts'
import { count, figure } from '../console/output.ts'

export interface LiveView {
  update(totals: ScoreTotals): void
  end(): void
}

const REDRAW_MS = 100
const HISTORY = 40
const BARS = '▁▂▃▄▅▆▇█'

/**
 * A line that redraws itself on a terminal while the stream is scored: how many are scored, the latency, and the rate
 * of the last seconds as a sparkline. `quiet` shows nothing.
 */
export function openLiveView(quiet: boolean): LiveView {
  const terminal = process.stderr.isTTY && !quiet
  const rates: number[] = []
  let drawn = performance.now()
  let before = 0
  return {
    update: (totals) => {
      const now = performance.now()
      if (!terminal || now - drawn < REDRAW_MS) return
      rates.push(Math.max(0, ((totals.scored - before) / (now - drawn)) * 1000))
      if (rates.length > HISTORY) rates.shift()
      before = totals.scored
      drawn = now
      process.stderr.write(`\r\x1b[K     ${liveLine(totals, rates)}`)
    },
    end: () => void (terminal && process.stderr.write('\n')),
  }
}

function liveLine({ scored, alerts, p50Ms, p99Ms }: ScoreTotals, rates: number[]): string {
  const latency = `p50 ${figure(p50Ms)} ms  p99 ${figure(p99Ms)} ms`
  const rate = `${sparkline(rates)} ${count(Math.round(rates.at(-1) ?? 0))}/s`
  return `${count(scored)} scored  ${count(alerts)} alerts  ${latency}  ${rate}`
}

function sparkline(values: number[]): string {
  const top = Math.max(1, ...values)
  return values.map((value) => BARS[Math.min(BARS.length - 1, Math.floor((value / top) * BARS.length))]).join('')
}
