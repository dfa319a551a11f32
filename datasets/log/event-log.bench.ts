/**
 * What the embedded event log costs: `node datasets/log/event-log.bench.ts`. Prints one JSON document on stdout.
 *
 * append and read: events of 250 bytes, 256 per append. commit: one partition's offset, n predictions, one alert in
 * ten. wake: from just before an append in this process until the record arrives in another process that waits; one
 * record every 5 ms.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEventLog } from '../open.ts'
import type { EventLog, NewRecord } from './event-log.ts'

const EVENTS = 256 * 2000
const VALUE = 'x'.repeat(250)

const records = (count: number): NewRecord[] =>
  Array.from({ length: count }, (_, i) => ({ key: `card-${i}`, value: VALUE, timestamp: i }))
const now = (): number => performance.timeOrigin + performance.now()

function quantiles(samples: number[]): { p50: number; p99: number; max: number } {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (q: number): number =>
    Number(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))].toFixed(3))
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

async function appendAndRead(log: EventLog): Promise<Record<string, number>> {
  const block = records(256)
  const start = performance.now()
  for (let i = 0; i < EVENTS; i += 256) await log.append('events', block)
  const appended = performance.now()
  let seen = 0
  let bytes = 0
  for await (const batch of log.read('events', 0)) {
    seen += batch.size
    for (let i = 0; i < batch.size; i++) bytes += batch.valueEnd[i] - batch.valueStart[i]
  }
  const read = performance.now()
  return {
    appendPerSecond: Math.round((EVENTS / (appended - start)) * 1000),
    readPerSecond: Math.round((seen / (read - appended)) * 1000),
    bytes,
  }
}

async function commits(log: EventLog, size: number): Promise<Record<string, number>> {
  await using member = await log.join(`bench-${size}`, 'events')
  const outputs = new Map([
    ['predictions', records(size)],
    ['fraud_alerts', records(Math.ceil(size / 10))],
  ])
  const samples: number[] = []
  const begin = performance.now()
  while (performance.now() - begin < 1500) {
    const start = performance.now()
    const { durable } = await member.commit(0, samples.length, outputs)
    await durable
    samples.push(performance.now() - start)
  }
  return { perSecond: Math.round(samples.length / 1.5), ...quantiles(samples) }
}

/** Runs in the child. For every record, sends the time from the record's timestamp to its arrival. */
async function listen(url: string): Promise<void> {
  await using log = await openEventLog(url)
  process.send?.('ready')
  for await (const batch of log.read('wake', 0, { follow: true })) {
    for (let i = 0; i < batch.size; i++) process.send?.(now() - batch.timestamps[i])
  }
}

async function wakeUps(log: EventLog, url: string): Promise<Record<string, number>> {
  await log.createTopic('wake')
  const child = fork(import.meta.filename, ['listen', url])
  const samples: number[] = []
  await once(child, 'message')
  child.on('message', (milliseconds: number) => samples.push(milliseconds))
  await sleep(200)
  for (let i = 0; i < 400; i++) {
    await log.append('wake', [{ value: VALUE, timestamp: now() }])
    await sleep(5)
  }
  await sleep(300)
  child.kill()
  await once(child, 'exit')
  return { woken: samples.length, ...quantiles(samples) }
}

async function bench(folder: string, query: string): Promise<Record<string, unknown>> {
  const url = `lmdb:${join(folder, `log${query.length}`)}${query}`
  await using log = await openEventLog(url)
  const throughput = await appendAndRead(log)
  const commit = { 1: await commits(log, 1), 10: await commits(log, 10), 256: await commits(log, 256) }
  return { ...throughput, commitMs: commit, wakeMs: await wakeUps(log, url) }
}

if (process.argv[2] === 'listen') await listen(process.argv[3])
else {
  const folder = mkdtempSync(join(tmpdir(), 'fd-log-'))
  const result = { synced: await bench(folder, ''), unsynced: await bench(folder, '?sync=false') }
  rmSync(folder, { recursive: true })
  process.stdout.write(`${JSON.stringify({ bench: 'event-log', node: process.version, ...result }, null, 2)}\n`)
}
