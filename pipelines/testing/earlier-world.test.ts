import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openLake } from '../../datasets/open.ts'
import { runFd } from '../console/fd-process.ts'

/**
 * A home that fd 0.1.0 (commit dc52b18) left half-way: 60 customers and 120 terminals over 60 days, a base, a champion
 * that has scored the first 409 of 777 records, and the log archived. `answers.json` holds what that version printed
 * once it had scored the rest. A later version must read the same files and print the same.
 */
const KEPT = join(import.meta.dirname, 'earlier-world')
const { answers, topics } = JSON.parse(readFileSync(join(KEPT, 'answers.json'), 'utf8')) as {
  answers: Record<string, unknown>
  topics: Record<string, { records: number; sha256: string }>
}

let folder = ''
let home = ''

async function fd(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runFd(home, args)
  expect(code, stderr).toBe(0)
  return stdout
}

/**
 * The digest of records without the time of their append, which a scorer takes from the clock, and without the base,
 * which that version did not write.
 */
function digestOf(records: { timestamp?: number; value?: unknown }[]): { records: number; sha256: string } {
  const lines = records.map((record) =>
    JSON.stringify({ ...record, timestamp: undefined }, (name, value: unknown) =>
      name === 'base' ? undefined : value,
    ),
  )
  return { records: lines.length, sha256: createHash('sha256').update(lines.join('\n')).digest('hex') }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fd-earlier-'))
  home = join(folder, 'home')
  execFileSync('tar', ['-xzf', join(KEPT, 'home.tar.gz'), '-C', folder])
  await fd('score', '--until-idle')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test.each(Object.keys(topics))('the scorer goes on from the checkpoint of an earlier version: %s', async (topic) => {
  const lines = (await fd('topics', 'read', topic)).trim().split('\n')
  expect(digestOf(lines.map((line) => JSON.parse(line) as { timestamp?: number }))).toEqual(topics[topic])
})

/** Fields that answers have gained since: the hashes of the history. */
const GAINED = new Set(['hash', 'head'])

test.each(Object.keys(answers))('an earlier version answered the same: fd %s', async (command) => {
  const answer = await fd(...command.split(' '), '--json')
  expect(JSON.parse(answer, (name, value: unknown) => (GAINED.has(name) ? undefined : value))).toEqual(answers[command])
})

test('the lake holds the records of the log, in their order', async () => {
  await using lake = await openLake(`file:${join(home, 'lake')}`)
  const records: object[] = []
  for await (const { size, partition, offsets, bytes, keyStart, valueStart, valueEnd } of lake.read('transactions')) {
    for (let i = 0; i < size; i++) {
      const key = bytes.toString('utf8', keyStart[i], valueStart[i])
      const value = JSON.parse(bytes.toString('utf8', valueStart[i], valueEnd[i])) as unknown
      records.push({ partition, offset: offsets[i], key, value })
    }
  }
  expect(digestOf(records)).toEqual(topics['transactions'])
})
