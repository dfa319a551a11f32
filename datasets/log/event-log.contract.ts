import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { describe, expect, test, vi } from 'vitest'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import { openEventLog } from '../open.ts'
import { randomStream } from '../random/random.ts'
import {
  PartitionLost,
  type EventLog,
  type GroupMember,
  type NewRecord,
  type RecordBatch,
  type ShareListener,
} from './event-log.ts'
import { partitionOf } from './murmur2.ts'

/** What a driver gives the contract to test it with. */
export interface LogHarness {
  /** The URL of an empty log. */
  fresh(): string
  /** The same, with the shortest session that a member can have. */
  freshWithShortSession(): string
  /**
   * Makes the owner of the group's topic look dead, so that the next member to join replaces it while it still runs.
   */
  evictOwner(url: string, group: string, topic: string): Promise<void>
  /** Whether timestamps may have fractions, as in the embedded log. Kafka has whole milliseconds. */
  fractionalTime: boolean
  /**
   * Whether retention counts from the newest record, as in the embedded log. A Kafka broker goes by its own clock, a
   * segment at a time.
   */
  retentionByRecordTime: boolean
  /** Opens the log of a URL. By default through the door that the code itself uses. */
  open?(url: string): Promise<EventLog>
  /** A command before that of a process, which puts it into a pid namespace of its own, as a container does. */
  elsewhere?: string[]
  /** False for a log that lives in one process: tests that need several pass it over. */
  processes?: false
}

function opened({ fresh, open = openEventLog }: LogHarness, url = fresh()): Promise<EventLog> {
  return open(url)
}

function severalProcesses({ processes }: LogHarness): boolean {
  return processes !== false
}

interface SeenRecord {
  partition: number
  offset: number
  key: string
  value: string
  timestamp: number
}

/** The batch's records as objects, bytes as latin1 text. */
export function recordsOf(batch: RecordBatch): SeenRecord[] {
  return Array.from({ length: batch.size }, (_, i) => ({
    partition: batch.partition,
    offset: batch.offsets[i],
    key: batch.bytes.toString('latin1', batch.keyStart[i], batch.valueStart[i]),
    value: batch.bytes.toString('latin1', batch.valueStart[i], batch.valueEnd[i]),
    timestamp: batch.timestamps[i],
  }))
}

async function readAll(
  log: EventLog,
  topic: string,
  partition = 0,
  from = 0,
  maxRecords = 1024,
): Promise<SeenRecord[]> {
  const seen: SeenRecord[] = []
  for await (const batch of log.read(topic, partition, { from, maxRecords })) {
    expect(batch.size).toBeLessThanOrEqual(maxRecords)
    seen.push(...recordsOf(batch))
  }
  return seen
}

const DOOR = pathToFileURL(join(import.meta.dirname, '../open.ts')).href

/** Runs an ES module in a process of its own. In it, `log` is open. */
function child(url: string, body: string, before: readonly string[] = []): ChildProcess {
  const program = `import { openEventLog } from ${JSON.stringify(DOOR)}
    const log = await openEventLog(${JSON.stringify(url)})
    ${body}
    await log[Symbol.asyncDispose]()`
  const node = join(PROJECT_ROOT, 'node_modules', '.bin', 'node')
  const [command, ...parts] = [...before, node, '--input-type=module', '--eval', program]
  return spawn(command, parts, { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Resolves at the child's first line of output. */
async function firstLine(process: ChildProcess): Promise<void> {
  if (process.stdout === null) throw new Error('the child has no output')
  await once(createInterface(process.stdout), 'line')
}

async function killed(process: ChildProcess): Promise<void> {
  const exit = once(process, 'exit')
  process.kill('SIGKILL')
  await exit
}

function latin1(content: string | Uint8Array = ''): string {
  return typeof content === 'string' ? Buffer.from(content).toString('latin1') : Buffer.from(content).toString('latin1')
}

const numbered = (count: number, first = 0): NewRecord[] =>
  Array.from({ length: count }, (_, i) => ({ value: String(first + i), timestamp: first + i }))
const values = (records: SeenRecord[]): number[] => records.map((record) => Number(record.value))
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Commits, and waits until the transaction is done. A refusal may come from either step; this throws both. */
export async function commitDurably(
  member: GroupMember,
  partition: number,
  nextOffset: number,
  outputs: Record<string, NewRecord[]> = {},
): Promise<void> {
  const { durable } = await member.commit(partition, nextOffset, new Map(Object.entries(outputs)))
  await durable
}

/** What every driver of the event log promises. */
export function eventLogContract(driver: string, harness: LogHarness): void {
  describe(`event log contract, ${driver}`, () => {
    describe('records', () => {
      recordTests(harness)
    })
    describe('processes', () => {
      processTests(harness)
    })
    describe('groups', () => {
      groupTests(harness)
    })
    describe('shares', () => {
      shareTests(harness)
      handoverTests(harness)
      takeoverTests(harness)
    })
  })
}

function recordTests(harness: LogHarness): void {
  test('any mixture of appends reads back as an array would, from any offset, in any batch size', async () => {
    await using log = await opened(harness)
    const chance = randomStream(7).uniform
    const model: SeenRecord[] = []
    for (let round = 0; round < 40; round++) {
      const records = Array.from({ length: Math.floor(chance() ** 4 * 3000) }, () => {
        const value = 'v'.repeat(Math.floor(chance() * 400)) + String(chance())
        const key = chance() < 0.5 ? undefined : `k${Math.floor(chance() * 100)}`
        return { key, value, timestamp: Math.floor(chance() * 1e12) }
      })
      await log.append('t', records)
      for (const { key, value, timestamp } of records) {
        model.push({ partition: 0, offset: model.length, key: key ?? '', value, timestamp })
      }
    }
    expect(await readAll(log, 't')).toEqual(model)
    for (let round = 0; round < 20; round++) {
      const from = Math.floor(chance() * (model.length + 2))
      expect(await readAll(log, 't', 0, from, 1 + Math.floor(chance() ** 3 * 5000))).toEqual(model.slice(from))
    }
    expect(await log.topic('t')).toEqual({
      name: 't',
      partitions: 1,
      retention: undefined,
      offsets: [{ start: 0, end: model.length }],
    })
  })

  test('a single record has offset 0, and the next append continues', async () => {
    await using log = await opened(harness)
    await log.append('t', numbered(1))
    await log.append('t', numbered(1, 1))
    await log.append('t', [])
    expect((await readAll(log, 't')).map((record) => record.offset)).toEqual([0, 1])
  })

  test('a key has one partition, in order; none means partition 0; a given partition stands', async () => {
    await using log = await opened(harness)
    await log.createTopic('t', { partitions: 4 })
    const keyed = Array.from({ length: 500 }, (_, i) => ({ key: `card-${i % 37}`, value: String(i), timestamp: i }))
    await log.append('t', keyed)
    for (let partition = 0; partition < 4; partition++) {
      const expected = keyed.filter((record) => partitionOf(Buffer.from(record.key), 4) === partition)
      const seen = await readAll(log, 't', partition)
      expect(seen.map((record) => record.value)).toEqual(expected.map((record) => record.value))
      expect(seen.map((record) => record.offset)).toEqual(upTo(seen.length))
    }
    const before = (await log.topic('t')).offsets
    await log.append('t', [
      { value: 'a', timestamp: 0 },
      { key: 'card-1', value: 'b', timestamp: 0, partition: 3 },
    ])
    expect((await readAll(log, 't', 0, before[0].end)).map((record) => record.value)).toEqual(['a'])
    expect((await readAll(log, 't', 3, before[3].end)).map((record) => record.value)).toEqual(['b'])
  })

  test('keys and values are bytes: binary, unicode, empty, and a megabyte', async () => {
    await using log = await opened(harness)
    const big = Buffer.alloc(1 << 20, 'fraud')
    const records: NewRecord[] = [
      { key: Uint8Array.of(0, 255, 10, 0), value: Uint8Array.of(0, 1, 2, 254), timestamp: 1 },
      { key: 'Zürich-顧客-🂡', value: 'µ€', timestamp: 2 },
      { key: 'empty', value: '', timestamp: 3 },
      { key: 'big', value: big, timestamp: harness.fractionalTime ? -4.5 : -4 },
      { value: 'last', timestamp: 5 },
    ]
    await log.append('t', records)
    const expected = records.map(({ key, value, timestamp }, offset) => {
      return { partition: 0, offset, key: latin1(key), value: latin1(value), timestamp }
    })
    expect(await readAll(log, 't', 0, 0, 2)).toEqual(expected)
  })

  test('where a log vouches for when a record was appended, no timestamp says otherwise', async () => {
    await using log = await opened(harness)
    const spans: [number, number][] = []
    for (let i = 0; i < 3; i++) {
      const before = Date.now()
      const record = (timestamp: number): NewRecord => ({ value: String(i), timestamp })
      await log.append('t', [0, -1, 7, Date.UTC(2100, 0)].map(record))
      spans.push([before, Date.now()])
    }
    for (const maxRecords of [1, 3, 100]) {
      for await (const { size, offsets, timestamps, appended } of log.read('t', 0, { maxRecords })) {
        expect(appended?.length ?? size).toBe(size)
        for (const [i, at] of [...(appended ?? [])].entries()) {
          const [from, to] = spans[Math.floor(offsets[i] / 4)]
          const within = at >= from && at <= to
          expect(within || (timestamps[i] < from && at === timestamps[i]), String(at)).toBe(true)
        }
      }
    }
  })

  test('offsetAt finds the oldest record of a time or later, by a naive look through all of them', async () => {
    await using log = await opened(harness)
    await log.createTopic('t', { partitions: 2 })
    expect(await log.offsetAt('t', 0, 5)).toBe(0)
    const random = randomStream(31)
    const times: number[] = []
    for (let append = 0; append < 12; append++) {
      // Mostly rising, as a clock, with some that are far behind or ahead.
      const some = Array.from({ length: 1 + random.integer(40) }, (_, i) =>
        random.integer(10) === 0 ? random.integer(3_000) : append * 100 + i,
      )
      times.push(...some)
      await log.append(
        't',
        some.map((timestamp) => ({ value: 'x', timestamp, partition: 1 })),
      )
    }
    const offsets = (await readAll(log, 't', 1)).map(({ offset }) => offset)
    const { end } = (await log.topic('t')).offsets[1]
    for (const time of [0, 1, 2_999.5, 3_000, 1e15, ...Array.from({ length: 60 }, () => random.integer(3_100))]) {
      const first = times.findIndex((timestamp) => timestamp >= time)
      expect(await log.offsetAt('t', 1, time), String(time)).toBe(first < 0 ? end : offsets[first])
    }
    expect(await log.offsetAt('t', 0, 5)).toBe(0)
    await expect(log.offsetAt('t', 2, 0)).rejects.toThrow(/no partition 2/)
    await expect(log.offsetAt('none', 0, 0)).rejects.toThrow(/No topic "none"/)
  })

  test('topics are listed by name; an unknown one is an error that lists them; settings stay', async () => {
    await using log = await opened(harness)
    await log.createTopic('b', { partitions: 2, retention: 1000 })
    await log.append('a', numbered(3))
    await log.createTopic('b', { partitions: 9 })
    const found = await log.topics()
    expect(found.map(({ name, partitions, offsets }) => [name, partitions, offsets.map(({ end }) => end)])).toEqual([
      ['a', 1, [3]],
      ['b', 2, [0, 0]],
    ])
    for (const name of ['c', '', 'x'.repeat(5000)]) {
      await expect(log.topic(name)).rejects.toThrow(new RegExp(`No topic "${name}".*a, b`))
    }
    await expect(readAll(log, 'c')).rejects.toThrow(UserError)
    await expect(readAll(log, 'b', 2)).rejects.toThrow(/no partition 2/)
    expect(await readAll(log, 'b', 1)).toEqual([])
  })

  test.runIf(harness.retentionByRecordTime)(
    'retention lets go of the old, moves the start, and never the end; readers are clamped',
    async () => {
      await using log = await opened(harness)
      await log.createTopic('t', { retention: 100 })
      for (let first = 0; first < 1000; first += 10) await log.append('t', numbered(10, first))
      const { start, end } = (await log.topic('t')).offsets[0]
      expect(end).toBe(1000)
      expect(start).toBeGreaterThan(800)
      expect(start).toBeLessThanOrEqual(899)
      expect(values(await readAll(log, 't'))).toEqual(upTo(1000).slice(start))
    },
  )

  test.runIf(harness.retentionByRecordTime)(
    'retention that outruns a member is told, and a member that has read nothing begins at the oldest',
    async () => {
      await using log = await opened(harness)
      await log.createTopic('t', { retention: 100 })
      await log.append('t', numbered(10, 0))
      const member = await log.join('g', 't')
      expect((await member.poll({ maxRecords: 10, timeoutMs: 1000 }))?.size).toBe(10)
      for (let first = 10; first < 1000; first += 10) await log.append('t', numbered(10, first))
      const { start } = (await log.topic('t')).offsets[0]
      const message = new RegExp(
        `Records 10 to ${start - 1} of "t", partition 0, were deleted by the topic's retention`,
      )
      await expect(member.poll({ maxRecords: 5, timeoutMs: 1000 })).rejects.toThrow(message)
      await member[Symbol.asyncDispose]()
      await using later = await log.join('g', 't')
      expect((await later.poll({ maxRecords: 5, timeoutMs: 1000 }))?.offsets[0]).toBe(start)
    },
  )
}

function processTests(harness: LogHarness): void {
  test.runIf(severalProcesses(harness))(
    'two processes append at once: offsets without gap or repeat, each in its own order',
    async () => {
      const url = harness.fresh()
      await using log = await opened(harness, url)
      const appender = (name: string): ChildProcess =>
        child(
          url,
          `for (let i = 0; i < 300; i++) {
          const record = (_, j) => ({ key: '${name}', value: String(i * 10 + j), timestamp: i })
          await log.append('t', Array.from({ length: 1 + i % 5 }, record))
        }`,
        )
      const exits = ['a', 'b'].map((name) => once(appender(name), 'exit'))
      expect(await Promise.all(exits)).toEqual([
        [0, null],
        [0, null],
      ])
      const seen = await readAll(log, 't')
      expect(seen.map((record) => record.offset)).toEqual(upTo(1800))
      for (const name of ['a', 'b']) {
        const own = values(seen.filter((record) => record.key === name))
        expect(own).toEqual(own.toSorted((x, y) => x - y))
        expect(own).toHaveLength(900)
      }
    },
  )

  test.runIf(severalProcesses(harness))(
    'a reader that follows sees every record of another process, and stops on abort',
    async () => {
      const url = harness.fresh()
      await using log = await opened(harness, url)
      await log.createTopic('t')
      const stop = new AbortController()
      const producer = child(
        url,
        `for (let i = 0; i < 400; i++) {
        await log.append('t', [{ value: String(i), timestamp: i }])
        if (i % 40 === 0) await new Promise((done) => setTimeout(done, 10))
      }`,
      )
      // Listen from the start, because the producer may have ended before the last record is read.
      const exited = once(producer, 'exit')
      const seen: SeenRecord[] = []
      for await (const batch of log.read('t', 0, { follow: true, signal: stop.signal })) {
        seen.push(...recordsOf(batch))
        if (seen.length === 400) stop.abort()
      }
      expect(values(seen)).toEqual(upTo(400))
      await exited
    },
  )

  test('an abort ends a follower that waits', async () => {
    await using log = await opened(harness)
    await log.append('t', numbered(2))
    const seen: SeenRecord[] = []
    const over = new AbortController()
    for await (const batch of log.read('t', 0, { follow: true, signal: over.signal })) {
      seen.push(...recordsOf(batch))
      // By the time of the abort, it has read everything and is waiting.
      if (seen.length === 2) setTimeout(() => over.abort(), 50)
    }
    expect(values(seen)).toEqual([0, 1])
  })

  test.runIf(severalProcesses(harness))(
    'kill -9 in the middle of commits: as many outputs as the committed offset says, each time',
    async () => {
      const url = harness.fresh()
      await using log = await opened(harness, url)
      await log.append('in', numbered(10))
      const chance = randomStream(11).uniform
      for (let round = 0; round < 4; round++) {
        const committer = child(
          url,
          `const member = await log.join('g', 'in')
        if (member.committed.get(0) > 0) process.stdout.write('joined\\n')
        for (let next = member.committed.get(0); ; next++) {
          const output = [{ value: String(next), timestamp: next }]
          const outputs = new Map([['out', output], ['twice', [...output, ...output]]])
          const { durable } = await member.commit(0, next + 1, outputs)
          await durable
          if (next === 0) process.stdout.write('made its topics\\n')
        }`,
        )
        await firstLine(committer)
        await new Promise((resolve) => setTimeout(resolve, 20 + chance() * 80))
        await killed(committer)
        const member = await log.join('g', 'in')
        const committed = member.committed.get(0) ?? -1
        await member[Symbol.asyncDispose]()
        expect(committed).toBeGreaterThan(0)
        expect(values(await readAll(log, 'out'))).toEqual(upTo(committed))
        expect(values(await readAll(log, 'twice'))).toEqual(upTo(committed).flatMap((n) => [n, n]))
      }
    },
  )

  test.runIf(severalProcesses(harness))(
    'kill -9 in the middle of appends: what was said to be appended is there, whole',
    async () => {
      const url = harness.fresh()
      const appender = child(
        url,
        `for (let i = 0; ; i++) {
        await log.append('t', Array.from({ length: 7 }, () => ({ value: String(i), timestamp: i })))
        process.stdout.write(i + '\\n')
      }`,
      )
      let said = -1
      if (appender.stdout === null) throw new Error('the child has no output')
      const lines = createInterface(appender.stdout).on('line', (line) => (said = Number(line)))
      await once(lines, 'line')
      await new Promise((resolve) => setTimeout(resolve, 300))
      const closed = once(appender, 'close')
      await killed(appender)
      await closed
      await using log = await opened(harness, url)
      const seen = values(await readAll(log, 't'))
      expect(seen.length).toBeGreaterThanOrEqual((said + 1) * 7)
      expect(seen).toEqual(upTo(seen.length).map((i) => Math.floor(i / 7)))
      await log.append('t', numbered(1))
      expect((await log.topic('t')).offsets[0].end).toBe(seen.length + 1)
    },
  )
}

function groupTests(harness: LogHarness): void {
  const patient = { maxRecords: 100, timeoutMs: 5000 }
  const impatient = { maxRecords: 100, timeoutMs: 20 }

  test('a member polls what has arrived, commits, and the next one continues there', async () => {
    await using log = await opened(harness)
    await log.append('in', numbered(250))
    const first = await log.join('g', 'in')
    expect(first.committed.get(0)).toBe(0)
    expect(await first.idle()).toBe(false)
    expect((await first.poll(patient))?.size).toBe(100)
    await commitDurably(first, 0, 100, { out: numbered(100) })
    expect((await first.poll(patient))?.offsets[0]).toBe(100)
    await first[Symbol.asyncDispose]()
    await using second = await log.join('g', 'in')
    expect(second.committed.get(0)).toBe(100)
    const batch = await second.poll({ maxRecords: 1000, timeoutMs: 0 })
    expect([batch?.size, batch?.offsets[0]]).toEqual([150, 100])
    expect(await second.idle()).toBe(true)
    expect(await second.poll(impatient)).toBeUndefined()
    second.seek(0, 40)
    expect((await second.poll({ maxRecords: 3, timeoutMs: 0 }))?.offsets).toEqual(Float64Array.of(40, 41, 42))
    expect(values(await readAll(log, 'out'))).toEqual(upTo(100))
  })

  test('small appends that piled up come as one batch', async () => {
    await using log = await opened(harness)
    for (let i = 0; i < 50; i++) await log.append('in', numbered(3, i * 3))
    await using member = await log.join('g', 'in')
    const batch = await member.poll({ maxRecords: 140, timeoutMs: 0 })
    expect(batch && values(recordsOf(batch))).toEqual(upTo(140))
    const rest = await member.poll({ maxRecords: 140, timeoutMs: 0 })
    expect(rest && values(recordsOf(rest))).toEqual(upTo(150).slice(140))
  })

  test('partitions take turns', async () => {
    await using log = await opened(harness)
    await log.createTopic('in', { partitions: 3 })
    await log.append(
      'in',
      [0, 1, 2].flatMap((partition) => numbered(200).map((record) => ({ ...record, partition }))),
    )
    await using member = await log.join('g', 'in')
    const turns: (number | undefined)[] = []
    for (let i = 0; i < 7; i++) turns.push((await member.poll(impatient))?.partition)
    expect(turns).toEqual([0, 1, 2, 0, 1, 2, undefined])
  })

  test('a waiting poll is woken by an append to a topic that had no record yet, and by an abort', async () => {
    await using log = await opened(harness)
    await log.createTopic('in')
    await using member = await log.join('g', 'in')
    const polled = member.poll(patient)
    setTimeout(() => void log.append('in', numbered(1)), 30)
    expect((await polled)?.size).toBe(1)
    expect(await member.poll({ ...patient, signal: AbortSignal.timeout(30) })).toBeUndefined()
    expect(await member.poll({ ...patient, signal: AbortSignal.abort() })).toBeUndefined()
  })

  test('a group of an unknown topic is an error', async () => {
    await using log = await opened(harness)
    await expect(log.join('g', 'in')).rejects.toThrow(/No topic "in"/)
    for (const group of ['', 'a/b c', 'x'.repeat(250)]) {
      await expect(log.join(group, 'in')).rejects.toThrow(/cannot be the name of a topic or group/)
    }
  })

  test('an owner that was replaced writes nothing any more', async () => {
    const url = harness.fresh()
    await using log = await opened(harness, url)
    await log.append('in', numbered(5))
    const old = await log.join('g', 'in')
    await commitDurably(old, 0, 1, { out: numbered(1) })
    await harness.evictOwner(url, 'g', 'in')
    await using successor = await log.join('g', 'in')
    await expect(commitDurably(old, 0, 2, { out: numbered(1, 1) })).rejects.toThrow(/taken over/)
    await expect(old.confirm(0)).rejects.toThrow(PartitionLost)
    await successor.confirm(0)
    await old[Symbol.asyncDispose]()
    await commitDurably(successor, 0, 3, { out: numbered(1, 7) })
    expect(values(await readAll(log, 'out'))).toEqual([0, 7])
    await successor[Symbol.asyncDispose]()
    await expect(successor.commit(0, 4, new Map())).rejects.toThrow(UserError)
    await using next = await log.join('g', 'in')
    expect(next.committed.get(0)).toBe(3)
  })

  test('the log says whose a partition is, also while the assignment is told; the loss is told next', async () => {
    const url = harness.fresh()
    await using log = await opened(harness, url)
    await log.append('in', numbered(5))
    const told: string[] = []
    const tell = (who: string): ShareListener => ({
      onAssigned: async (_, member) => {
        await member.confirm(0)
        told.push(`${who} has it`)
      },
      onRevoked: async (_, lost) => void told.push(`${who} has ${lost ? 'lost' : 'left'} it`),
    })
    await using old = await log.join('g', 'in', tell('old'))
    await harness.evictOwner(url, 'g', 'in')
    await using successor = await log.join('g', 'in', tell('new'))
    // The first that it hears of its loss, on a log that does not tell by itself.
    await expect(old.confirm(0)).rejects.toThrow(PartitionLost)
    await successor.confirm(0)
    const polled = old.poll(impatient)
    for (let left = false; !left; left = told.includes('old has lost it')) await successor.poll(impatient)
    expect(await polled).toBeUndefined()
    expect(told).toEqual(['old has it', 'new has it', 'old has lost it'])
  })

  test('two groups write the same topic', async () => {
    await using log = await opened(harness)
    await log.append('in', numbered(5))
    await using a = await log.join('a', 'in')
    await using b = await log.join('b', 'in')
    await commitDurably(a, 0, 1, { out: numbered(2) })
    await commitDurably(b, 0, 5, { out: numbered(2, 2) })
    await log.append('out', numbered(1, 4))
    expect(values(await readAll(log, 'out'))).toEqual(upTo(5))
    expect([a.committed.get(0), b.committed.get(0)]).toEqual([1, 5])
  })

  test('commits to several partitions go beside each other', async () => {
    await using log = await opened(harness)
    await log.createTopic('in', { partitions: 3 })
    await using member = await log.join('g', 'in')
    for (let round = 0; round < 4; round++) {
      const begun = await Promise.all(
        [0, 1, 2].map((partition) => {
          const outputs = new Map([['out', numbered(1, 3 * round + partition)]])
          return member.commit(partition, 10 * round + partition, outputs)
        }),
      )
      await Promise.all(begun.map(({ durable }) => durable))
      expect(member.committed).toEqual(new Map([0, 1, 2].map((partition) => [partition, 10 * round + partition])))
    }
    expect(values(await readAll(log, 'out')).toSorted((a, b) => a - b)).toEqual(upTo(12))
  })
}

/** What a member's listener was told: `+` assigned, `-` revoked, `!` lost, each with the partitions. */
type Story = string[]

/** A member that consumes and commits its partitions until it is stopped. */
interface Consumer {
  story: Story
  /** The partitions it owns now. */
  share(): number[]
  stop(): Promise<void>
}

const TOPIC = 'in'
const GROUP = 'g'

/** A member in this process, which writes `PARTITION:OFFSET` of each record to the same partition of topic `out`. */
async function consumer(log: EventLog, story: Story = []): Promise<Consumer> {
  const member = await log.join(GROUP, TOPIC, {
    onAssigned: async (partitions) => void story.push(`+${partitions.join()}`),
    onRevoked: async (partitions, lost) => void story.push(`${lost ? '!' : '-'}${partitions.join()}`),
  })
  const stop = new AbortController()
  const consuming = consume(member, stop.signal)
  // `stop` awaits the outcome. Until then, a failure must not count as unhandled.
  void Promise.allSettled([consuming])
  return {
    story,
    share: () => [...member.committed.keys()],
    async stop() {
      stop.abort()
      await consuming
      await member[Symbol.asyncDispose]()
    },
  }
}

async function consume(member: GroupMember, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const batch = await member.poll({ maxRecords: 9, timeoutMs: 200, signal })
    if (batch !== undefined) await commitDurably(member, batch.partition, nextOffset(batch), echo(batch))
  }
}

const nextOffset = (batch: RecordBatch): number => batch.offsets[batch.size - 1] + 1
const echo = (batch: RecordBatch): { out: NewRecord[] } => ({
  out: recordsOf(batch).map(({ partition, offset }) => ({ value: `${partition}:${offset}`, timestamp: 0, partition })),
})

/**
 * The same consumer as a process of its own. On SIGTERM it leaves the group. On SIGUSR2 it stops itself; when it is
 * continued, it commits as if nothing had happened.
 */
const CONSUMER_PROCESS = `
  const say = (line) => process.stdout.write(line + '\\n')
  const member = await log.join('${GROUP}', '${TOPIC}', {
    onAssigned: async (partitions) => say('+' + partitions),
    onRevoked: async (partitions, lost) => say((lost ? '!' : '-') + partitions),
  })
  let stop = false
  let freeze = false
  process.on('SIGTERM', () => (stop = true))
  process.on('SIGUSR2', () => (freeze = true))
  // Last, since from here on signals come. One without a handler would end the process.
  say('joined')
  const commit = async (partition, next, values) => {
    const outputs = new Map([['out', values.map((value) => ({ value, timestamp: 0, partition }))]])
    try {
      await (await member.commit(partition, next, outputs)).durable
      return true
    } catch (error) {
      if (error.constructor.name !== 'PartitionLost') throw error
      say('refused ' + partition)
    }
  }
  while (!stop) {
    const batch = await member.poll({ maxRecords: 9, timeoutMs: 200 })
    if (batch !== undefined) {
      const offsets = Array.from(batch.offsets.subarray(0, batch.size))
      const values = offsets.map((offset) => batch.partition + ':' + offset)
      await commit(batch.partition, offsets.at(-1) + 1, values)
    }
    if (!freeze) continue
    freeze = false
    const own = [...member.committed.keys()]
    say('stopped')
    process.kill(process.pid, 'SIGSTOP')
    for (const partition of own) if (await commit(partition, 999, ['zombie'])) say('committed ' + partition)
  }
  await member[Symbol.asyncDispose]()
`

interface ConsumerProcess extends Consumer {
  process: ChildProcess
  kill(): Promise<void>
}

/** Resolves when the process has joined. */
async function consumerProcess(url: string, before: readonly string[] = []): Promise<ConsumerProcess> {
  const own = child(url, CONSUMER_PROCESS, before)
  const exited = once(own, 'exit')
  if (own.stdout === null) throw new Error('the child has no output')
  const story: Story = []
  createInterface(own.stdout).on('line', (line) => story.push(line))
  await vi.waitFor(() => expect(story).toContain('joined'), PATIENCE)
  return {
    process: own,
    story,
    share: () => told(story),
    async stop() {
      own.kill('SIGTERM')
      expect(await exited).toEqual([0, null])
    },
    kill: () => killed(own),
  }
}

/** The share of a member, as far as its listener was told. */
function told(story: Story): number[] {
  const share = new Set<number>()
  for (const line of story.filter((text) => /^[-+!]/.test(text))) {
    for (const partition of line.slice(1).split(',').map(Number)) {
      if (line.startsWith('+')) share.add(partition)
      else share.delete(partition)
    }
  }
  return [...share]
}

/** How long to wait for what must come, however slow the machine. */
const PATIENCE = { timeout: 45_000, interval: 50 }

/** Resolves when every partition has one owner and shares differ by at most one. */
async function balanced(consumers: Consumer[], partitions: number): Promise<void> {
  await vi.waitFor(() => {
    const shares = consumers.map((each) => each.share())
    expect(shares.flat().toSorted((a, b) => a - b)).toEqual(upTo(partitions))
    const sizes = shares.map((share) => share.length)
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
  }, PATIENCE)
}

/** Waits until every record of the topic has been consumed, then checks that each was consumed once, in order. */
async function expectEachOnce(log: EventLog): Promise<void> {
  const { offsets } = await log.topic(TOPIC)
  await vi.waitFor(async () => {
    const outputs = await Promise.all(offsets.map((_, partition) => readAll(log, 'out', partition)))
    expect(outputs.map((seen) => seen.length)).toEqual(offsets.map(({ end }) => end))
  }, PATIENCE)
  for (const [partition, { end }] of offsets.entries()) {
    const seen = await readAll(log, 'out', partition)
    expect(seen.map(({ value }) => value)).toEqual(upTo(end).map((offset) => `${partition}:${offset}`))
  }
}

async function topics(log: EventLog, partitions: number): Promise<void> {
  await log.createTopic(TOPIC, { partitions })
  await log.createTopic('out', { partitions })
}

/** `count` records for every partition. */
const forEach = (partitions: number, count: number): NewRecord[] =>
  upTo(partitions).flatMap((partition) => numbered(count).map((record) => ({ ...record, partition })))

function shareTests(harness: LogHarness): void {
  test(
    'three members come and two go: shares differ by at most one, and only what must move is told',
    { timeout: 120_000 },
    async () => {
      await using log = await opened(harness)
      await topics(log, 7)
      await log.append(TOPIC, forEach(7, 50))
      const a = await consumer(log)
      expect(a.story).toEqual(['+0,1,2,3,4,5,6'])
      const b = await consumer(log)
      await balanced([a, b], 7)
      const c = await consumer(log)
      await balanced([a, b, c], 7)
      await log.append(TOPIC, forEach(7, 50))
      const stories = [a, b, c].map(({ story }) => story.join())
      expect(stories.join()).not.toContain('!')
      // Shares go from 7 to 4 and 3, then to 3, 2 and 2: 3 + 2 partitions move.
      expect(stories.map((story) => moved(story, '-')).reduce((sum, count) => sum + count)).toBe(3 + 2)
      expect(stories.map((story) => moved(story, '+')).reduce((sum, count) => sum + count)).toBe(7 + 3 + 2)
      await b.stop()
      await balanced([a, c], 7)
      await a.stop()
      await balanced([c], 7)
      expect(moved(c.story.join(), '-')).toBe(0)
      await expectEachOnce(log)
      await c.stop()
      await using next = await log.join(GROUP, TOPIC)
      expect([...next.committed]).toEqual(upTo(7).map((partition) => [partition, 100]))
    },
  )

  test.runIf(severalProcesses(harness))(
    'members of several processes join, leave and are killed with −9 at random: every record is consumed once',
    { timeout: 180_000 },
    async () => {
      const url = harness.fresh()
      await using log = await opened(harness, url)
      await topics(log, 5)
      const random = randomStream(23)
      const feeding = new AbortController()
      const fed = feed(log, feeding.signal)
      const resident = await consumer(log)
      const others: ConsumerProcess[] = []
      for (let step = 0; step < 9; step++) {
        if (others.length < 2 || (others.length === 2 && random.uniform() < 0.3)) {
          others.push(await consumerProcess(url))
        } else {
          const [leaver] = others.splice(random.integer(others.length), 1)
          await (random.uniform() < 0.6 ? leaver.kill() : leaver.stop())
        }
        if (random.uniform() < 0.4) await balanced([resident, ...others], 5)
        else await new Promise((resolve) => setTimeout(resolve, random.uniform() * 1500))
      }
      feeding.abort()
      await fed
      await balanced([resident, ...others], 5)
      await expectEachOnce(log)
      for (const other of others) await other.stop()
      await balanced([resident], 5)
      await resident.stop()
    },
  )

  test.runIf(harness.elsewhere !== undefined)(
    'members of different containers share the partitions in peace, and one that is killed there is missed here',
    { timeout: 120_000 },
    async () => {
      const url = harness.fresh()
      await using log = await opened(harness, url)
      await topics(log, 4)
      const all = [await consumerProcess(url), await consumerProcess(url, harness.elsewhere)]
      await balanced(all, 4)
      const before = all.map(({ story }) => story.length)
      // Each of them looks at the others many times meanwhile.
      for (let round = 0; round < 10; round++) {
        await log.append(TOPIC, forEach(4, 3))
        await expectEachOnce(log)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      expect(all.map(({ story }) => story.length)).toEqual(before)
      expect(all.flatMap(({ story }) => story).join()).not.toContain('!')
      const [here, there] = all
      await there.kill()
      await balanced([here], 4)
      await log.append(TOPIC, forEach(4, 3))
      await expectEachOnce(log)
      await here.stop()
    },
  )

  test.runIf(severalProcesses(harness))(
    'more members than partitions: one has none, waits, is idle, and follows the owner that is killed',
    { timeout: 120_000 },
    async () => {
      const url = harness.fresh()
      await using log = await opened(harness, url)
      await topics(log, 1)
      await log.append(TOPIC, numbered(20))
      const owner = await consumerProcess(url)
      await using spare = await log.join(GROUP, TOPIC)
      expect(spare.committed.size).toBe(0)
      expect(await spare.poll({ maxRecords: 100, timeoutMs: 300 })).toBeUndefined()
      expect(await spare.poll({ maxRecords: 100, timeoutMs: 5000, signal: AbortSignal.timeout(50) })).toBeUndefined()
      expect(await spare.idle()).toBe(true)
      await expect(spare.commit(0, 1, new Map())).rejects.toThrow(PartitionLost)
      expect(() => spare.seek(0, 0)).toThrow(UserError)
      await expectEachOnce(log)
      await owner.kill()
      await log.append(TOPIC, numbered(3))
      await vi.waitFor(async () => {
        const batch = await spare.poll({ maxRecords: 100, timeoutMs: 1000 })
        expect(batch?.offsets).toEqual(Float64Array.of(20, 21, 22))
      }, PATIENCE)
    },
  )

  test('members of one process that are polled in turn divide the partitions, too', { timeout: 120_000 }, async () => {
    await using log = await opened(harness)
    await topics(log, 5)
    await log.append(TOPIC, forEach(5, 30))
    const members = [await log.join(GROUP, TOPIC)]
    while (members.length < 3) members.push(await within(log.join(GROUP, TOPIC), members))
    await vi.waitFor(async () => {
      for (const member of members) {
        const batch = await member.poll({ maxRecords: 7, timeoutMs: 30 })
        if (batch !== undefined) await commitDurably(member, batch.partition, nextOffset(batch), echo(batch))
      }
      expect(members.map((member) => member.committed.size).toSorted((a, b) => a - b)).toEqual([1, 2, 2])
      expect(members.flatMap((member) => [...member.committed.values()])).toEqual([30, 30, 30, 30, 30])
    }, PATIENCE)
    await expectEachOnce(log)
  })

  test('groups share nothing with each other', async () => {
    await using log = await opened(harness)
    await topics(log, 2)
    await using one = await log.join('one', TOPIC)
    await using other = await log.join('other', TOPIC)
    expect([one.committed.size, other.committed.size]).toEqual([2, 2])
  })
}

/** How many partitions were assigned (`+`), or revoked (`-`), in a story. */
function moved(story: string, how: '+' | '-'): number {
  const lines = story.split(/(?=[-+!])/).filter((line) => line.startsWith(how))
  return lines.join().match(/\d+/g)?.length ?? 0
}

/** Appends small batches to all partitions until `signal` aborts. */
async function feed(log: EventLog, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await log.append(TOPIC, forEach(5, 8))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function handoverTests(harness: LogHarness): void {
  test(
    'what onRevoked throws, poll throws, and the partition stays; ' +
      'a commit within it counts; the new owner begins there',
    async () => {
      await using log = await opened(harness)
      await topics(log, 2)
      await log.append(TOPIC, forEach(2, 10))
      const order: string[] = []
      let ready = false
      let handed = -1
      const giver = await log.join(GROUP, TOPIC, {
        async onRevoked([partition, ...others], lost) {
          order.push('revoked')
          if (!ready) throw new Error('not ready')
          expect([others, lost, giver.committed.get(partition)]).toEqual([[], false, 0])
          await commitDurably(giver, partition, 4, { out: [{ value: 'last words', timestamp: 0, partition }] })
          await new Promise((resolve) => setTimeout(resolve, 300))
          handed = partition
          order.push('handed over')
        },
      })
      const stop = new AbortController()
      const taking = log.join(GROUP, TOPIC, {
        onAssigned: async ([partition], member) => {
          order.push('assigned')
          expect([...member.committed]).toEqual([[partition, 4]])
        },
      })
      const taken = taking.then(async (taker) => {
        for (;;) {
          const batch = await taker.poll({ maxRecords: 100, timeoutMs: 200, signal: stop.signal })
          if (batch !== undefined) return { taker, batch }
        }
      })
      await vi.waitFor(async () => {
        const polled = giver.poll({ maxRecords: 1, timeoutMs: 100 })
        expect(await polled.then(() => 'a poll without a word', String)).toContain('not ready')
      }, PATIENCE)
      expect([giver.committed.size, order]).toEqual([2, ['revoked']])
      ready = true
      await vi.waitFor(async () => {
        await giver.poll({ maxRecords: 1, timeoutMs: 100 })
        expect(giver.committed.size).toBe(1)
      }, PATIENCE)
      const { taker, batch } = await within(taken, [giver])
      expect(order).toEqual(['revoked', 'revoked', 'handed over', 'assigned'])
      expect([batch.partition, batch.offsets[0], batch.size]).toEqual([handed, 4, 6])
      await expect(giver.commit(handed, 9, new Map())).rejects.toThrow(PartitionLost)
      expect(await readAll(log, 'out', handed)).toHaveLength(1)
      await taker[Symbol.asyncDispose]()
      await giver[Symbol.asyncDispose]()
    },
  )

  test('what onAssigned throws, join throws, and the member is none', async () => {
    await using log = await opened(harness)
    await topics(log, 2)
    const refusing = log.join(GROUP, TOPIC, { onAssigned: () => Promise.reject(new Error('no room')) })
    await expect(refusing).rejects.toThrow('no room')
    await using member = await log.join(GROUP, TOPIC, { onAssigned: async (_, self) => self.seek(1, 7) })
    const records = numbered(10).map((record) => ({ ...record, partition: 1 }))
    await log.append(TOPIC, records)
    expect((await member.poll({ maxRecords: 100, timeoutMs: 5000 }))?.offsets[0]).toBe(7)
    expect([...member.committed]).toEqual([
      [0, 0],
      [1, 0],
    ])
  })
}

/** Polls other members until `work` is done, because it needs them. Undoes their polls by `seek`. */
async function within<T>(work: Promise<T>, others: GroupMember[]): Promise<T> {
  const done = new AbortController()
  const outcome = work.finally(() => done.abort())
  while (!done.signal.aborted) {
    for (const other of others) {
      const batch = await other.poll({ maxRecords: 1, timeoutMs: 100, signal: done.signal })
      if (batch !== undefined) other.seek(batch.partition, batch.offsets[0])
    }
  }
  return outcome
}

function takeoverTests(harness: LogHarness): void {
  test.runIf(severalProcesses(harness))(
    'a member that is stopped for longer than its session loses its partitions, ' +
      'can commit nothing, hears of it, and gets a new share',
    { timeout: 120_000 },
    async () => {
      const url = harness.freshWithShortSession()
      await using log = await opened(harness, url)
      await topics(log, 2)
      const successor = await consumer(log)
      const zombie = await consumerProcess(url)
      await balanced([successor, zombie], 2)
      const [old] = zombie.share()
      zombie.process.kill('SIGUSR2')
      await vi.waitFor(() => expect(zombie.story).toContain('stopped'), PATIENCE)
      await vi.waitFor(() => expect(successor.share()).toHaveLength(2), PATIENCE)
      await log.append(TOPIC, forEach(2, 30))
      await expectEachOnce(log)
      const before = zombie.story.length
      zombie.process.kill('SIGCONT')
      await balanced([successor, zombie], 2)
      await vi.waitFor(() => {
        expect(zombie.story.slice(before).slice(0, 2)).toEqual([`refused ${old}`, `!${old}`])
      }, PATIENCE)
      await log.append(TOPIC, forEach(2, 30))
      await expectEachOnce(log)
      await zombie.stop()
      await successor.stop()
    },
  )
}
