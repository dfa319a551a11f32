import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { crc32 } from 'node:zlib'
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { PROJECT_ROOT } from '../../../configs/config.ts'
import { openEnvironment } from '../../../configs/connections/lmdb.ts'
import type { ProcessMark } from '../../../configs/process/living-process.ts'
import { UserError } from '../../../configs/user-error.ts'
import { openEventLog } from '../../open.ts'
import { commitDurably, eventLogContract, recordsOf } from '../event-log.contract.ts'
import { murmur2 } from '../murmur2.ts'
import { joinBatches } from '../record-batch.ts'
import { decodeBlock, encodeBlocks, stampOffset } from './block.ts'

const home = mkdtempSync(join(tmpdir(), 'fd-event-log-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

let logs = 0
const freshFolder = (): string => join(home, `log-${logs++}`)

/** Runs a process in a pid namespace of its own, which ends with this one. Only root may. */
const CONTAINER = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
const containers = spawnSync(CONTAINER[0], [...CONTAINER.slice(1), 'true']).status === 0

eventLogContract('lmdb', {
  ...(containers ? { elsewhere: CONTAINER } : {}),
  fresh: () => `lmdb:${freshFolder()}`,
  freshWithShortSession: () => `lmdb:${freshFolder()}?session=1`,
  fractionalTime: true,
  retentionByRecordTime: true,
  async evictOwner(url, group, topic) {
    const environment = openEnvironment(join(url.slice('lmdb:'.length), 'shared'))
    const groups = environment.database('groups')
    const key = Buffer.from(JSON.stringify(['members', group, topic]))
    const roster = JSON.parse(String(groups.get(key))) as { members: object[] }
    const members = roster.members.map((member) => ({ ...member, started: 'before the last boot' }))
    environment.write(() => void groups.put(key, Buffer.from(JSON.stringify({ ...roster, members }))))
    await environment.close()
  },
})

test('murmur2 gives what Kafka’s own unit test expects', () => {
  const vectors: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  expect(vectors.map(([key]) => [key, murmur2(Buffer.from(key))])).toEqual(vectors)
})

/** How many records each block holds when values of these lengths are encoded. */
function blockSizes(lengths: number[]): number[] {
  const records = lengths.map((length) => ({ value: 'x'.repeat(length), timestamp: 0 }))
  return encodeBlocks(records).map((block) => block.count)
}

describe('blocks', () => {
  const block = encodeBlocks([
    { key: 'k', value: 'value', timestamp: 3 },
    { value: 'w', timestamp: 2 },
  ])[0]
  stampOffset(block, 40)

  test('decode to the records that went in, aligned or not', () => {
    const shifted = Buffer.concat([Buffer.alloc(3), block.bytes]).subarray(3)
    for (const bytes of [block.bytes, shifted]) {
      const batch = decodeBlock(bytes, 't', 0, 41)
      if ('damage' in batch) throw new Error(batch.damage)
      expect(recordsOf(batch)).toEqual([
        { partition: 0, offset: 40, key: 'k', value: 'value', timestamp: 3 },
        { partition: 0, offset: 41, key: '', value: 'w', timestamp: 2 },
      ])
    }
  })

  test('of the form without a time of the append are read, and say nothing of it', () => {
    const [header, stamp, { length }] = [40, 8, block.bytes]
    const old = Buffer.concat([block.bytes.subarray(0, header - stamp), block.bytes.subarray(header)])
    old[3] = 1
    old.writeUInt32LE(length - stamp, 20)
    // Five positions: three bounds and two values, after the timestamps.
    for (let at = header - stamp + 16; at < header - stamp + 36; at += 4)
      old.writeUInt32LE(old.readUInt32LE(at) - stamp, at)
    old.writeUInt32LE(crc32(old.subarray(16)), 4)
    const batch = decodeBlock(old, 't', 0, 41)
    if ('damage' in batch) throw new Error(batch.damage)
    expect(recordsOf(batch).map(({ key, value, timestamp }) => [key, value, timestamp])).toEqual([
      ['k', 'value', 3],
      ['', 'w', 2],
    ])
    expect(batch.appended).toBeUndefined()
    const stamped = decodeBlock(block.bytes, 't', 0, 41)
    if ('damage' in stamped) throw new Error(stamped.damage)
    const both = joinBatches([batch, stamped])
    expect([...(both.appended ?? [])]).toEqual([Infinity, Infinity, ...(stamped.appended ?? [])])
  })

  test('any byte that is changed, and any that is missing, is found', () => {
    for (let at = 0; at < block.bytes.length; at++) {
      const changed = Buffer.from(block.bytes)
      changed[at] ^= 0x10
      expect(decodeBlock(changed, 't', 0, 41)).toHaveProperty('damage')
      expect(decodeBlock(block.bytes.subarray(0, at), 't', 0, 41)).toHaveProperty('damage')
    }
  })

  test('are split at 1024 records and 256 KB, a bigger record alone', () => {
    const sizes: [lengths: number[], sizes: number[]][] = [
      [new Array<number>(2500).fill(1), [1024, 1024, 452]],
      [new Array<number>(6).fill(100_000), [2, 2, 2]],
      [
        [1, 400_000, 1],
        [1, 1, 1],
      ],
      [[], []],
    ]
    for (const [lengths, expected] of sizes) expect(blockSizes(lengths)).toEqual(expected)
  })
})

/** Changes the first member of the group in its stored roster. */
async function changeMember(folder: string, change: Partial<ProcessMark>): Promise<void> {
  const environment = openEnvironment(join(folder, 'shared'))
  const groups = environment.database('groups')
  const key = Buffer.from(JSON.stringify(['members', 'g', 't']))
  const roster = JSON.parse(String(groups.get(key))) as { members: object[] }
  const members = roster.members.map((member, i) => (i === 0 ? { ...member, ...change } : member))
  environment.write(() => void groups.put(key, Buffer.from(JSON.stringify({ ...roster, members }))))
  await environment.close()
}

describe('members that cannot be looked at from here', () => {
  const POLL = { maxRecords: 10, timeoutMs: 10 }

  test('one that lives is not struck, though no process here has its pid', async () => {
    const folder = freshFolder()
    await using log = await openEventLog(`lmdb:${folder}?session=60`)
    await log.createTopic('t', { partitions: 2 })
    const lost: number[] = []
    await using first = await log.join('g', 't', {
      onRevoked: async (partitions, gone) => void (gone && lost.push(...partitions)),
    })
    await changeMember(folder, { pid: 2 ** 30, place: 'another container' })
    await using second = await log.join('g', 't')
    await vi.waitFor(async () => {
      await first.poll(POLL)
      await second.poll(POLL)
      expect([first.committed.size, second.committed.size]).toEqual([1, 1])
    })
    expect(lost).toEqual([])
    const [[own]] = first.committed
    await commitDurably(first, own, 1)
    expect(first.committed.get(own)).toBe(1)
  })

  test.runIf(containers)('one of another container with the same pid cannot open the log, and says why', async () => {
    const url = `lmdb:${freshFolder()}`
    const program = `
      import { openEventLog } from ${JSON.stringify(pathToFileURL(join(PROJECT_ROOT, 'datasets', 'open.ts')))}
      const log = await openEventLog(${JSON.stringify(url)}).catch(({ message }) => console.log(message))
      if (log !== undefined) await log.append('t', [{ value: String(process.pid), timestamp: 1 }])
      console.log('ready')
      if (log !== undefined) setInterval(() => {}, 1000)`
    const node = join(PROJECT_ROOT, 'node_modules', '.bin', 'node')
    const [command, ...parts] = [...CONTAINER, node, '--input-type=module', '--eval', program]
    const start = (): ChildProcess => {
      const process = spawn(command, parts, { stdio: ['ignore', 'pipe', 'inherit'] })
      onTestFinished(() => void process.kill('SIGKILL'))
      return process
    }
    const lines = async ({ stdout }: ChildProcess): Promise<string[]> => {
      const said: string[] = []
      for await (const line of createInterface(stdout ?? Readable.from([]))) {
        said.push(line)
        if (line === 'ready') break
      }
      return said
    }
    expect(await lines(start())).toEqual(['ready'])
    expect(await lines(start())).toEqual([
      expect.stringMatching(/data\.mdb is in use by a process of another container that has the pid of this one, 1: /),
      'ready',
    ])
  })

  test('one of before a reboot is missed after a session, though a process here has its pid and start', async () => {
    const folder = freshFolder()
    const url = `lmdb:${folder}?session=1`
    await using log = await openEventLog(url)
    await log.createTopic('t', { partitions: 2 })
    // Its heart stops with the log of its own: what it leaves in the roster is as a crash of the machine leaves it.
    const crashed = await openEventLog(url)
    await crashed.join('g', 't')
    const environment = openEnvironment(join(folder, 'shared'))
    const groups = environment.database('groups')
    const key = Buffer.from(JSON.stringify(['members', 'g', 't']))
    const left = Buffer.from(groups.get(key) ?? '')
    await crashed[Symbol.asyncDispose]()
    environment.write(() => void groups.put(key, left))
    await environment.close()
    await changeMember(folder, { place: 'another boot' })
    await using next = await log.join('g', 't')
    await vi.waitFor(async () => {
      await next.poll(POLL)
      expect(next.committed.size).toBe(2)
    }, 30_000)
  })
})

async function filled(): Promise<{ folder: string; file: string }> {
  const folder = freshFolder()
  await using log = await openEventLog(`lmdb:${folder}`)
  for (let i = 0; i < 50; i++) await log.append('t', [{ value: `${i}-`.repeat(500), timestamp: i }])
  return { folder, file: join(folder, 'topics', 't', 'data.mdb') }
}

/** Reads topic t, record by record unless more are asked for. */
async function drain(folder: string, maxRecords = 1): Promise<number> {
  await using log = await openEventLog(`lmdb:${folder}`)
  let seen = 0
  for await (const batch of log.read('t', 0, { maxRecords })) seen += batch.size
  return seen
}

describe('what can go wrong', () => {
  test('a damaged block is an error that names topic, partition, offset, file and the way on', async () => {
    const { folder, file } = await filled()
    const environment = openEnvironment(join(folder, 'topics', 't'))
    const blocks = environment.database('topic t')
    const [{ key, value: bytes }] = blocks.getRange({ offset: 20, limit: 1 })
    const changed = Buffer.from(bytes)
    changed[200] ^= 1
    environment.write(() => void blocks.put(key, changed))
    await environment.close()
    await expect(drain(folder)).rejects.toThrow(UserError)
    await expect(drain(folder)).rejects.toThrow(
      `Topic "t", partition 0, block that ends with offset 20 in ${file} is damaged: its checksum does not match. ` +
        'Read on behind it with: fd topics read t --from 21',
    )
  })

  test('records that are missing between two others are an error, not a shorter batch', async () => {
    const { folder, file } = await filled()
    const environment = openEnvironment(join(folder, 'topics', 't'))
    const blocks = environment.database('topic t')
    const [{ key }] = blocks.getRange({ offset: 20, limit: 1 })
    environment.write(() => void blocks.remove(key))
    await environment.close()
    await expect(drain(folder, 1000)).rejects.toThrow(
      `Topic "t", partition 0 in ${file} is damaged: records 20 to 20 are missing. ` +
        'Read on behind them with: fd topics read t --from 21',
    )
  })

  test('a block that begins before the end of the one before it is an error, not a shorter batch', async () => {
    const { folder, file } = await filled()
    const environment = openEnvironment(join(folder, 'topics', 't'))
    const blocks = environment.database('topic t')
    const [{ key }] = blocks.getRange({ offset: 20, limit: 1 })
    const [longer] = encodeBlocks(Array.from({ length: 3 }, () => ({ value: 'v', timestamp: 0 })))
    stampOffset(longer, 18)
    environment.write(() => void blocks.put(key, longer.bytes))
    await environment.close()
    await expect(drain(folder, 1000)).rejects.toThrow(
      `Topic "t", partition 0 in ${file} is damaged: records 18 to 19 are there twice. ` +
        'Read on behind them with: fd topics read t --from 20',
    )
  })

  test.each(['this is not a database', 'x'.repeat(100_000), '\0'.repeat(8192)])(
    'a file that is something else is an error that names it',
    async (content) => {
      const { folder, file } = await filled()
      writeFileSync(file, content)
      await expect(drain(folder)).rejects.toThrow(`${file} is damaged`)
    },
  )

  test('a file that was cut short, or emptied of its pages, is an error', async () => {
    const cut = await filled()
    truncateSync(cut.file, Math.floor(statSync(cut.file).size / 3))
    await expect(drain(cut.folder)).rejects.toThrow(UserError)
    const emptied = await filled()
    const descriptor = openSync(emptied.file, 'r+')
    writeSync(descriptor, Buffer.alloc(statSync(emptied.file).size - 8192), 0, null, 8192)
    closeSync(descriptor)
    await expect(drain(emptied.folder)).rejects.toThrow(UserError)
  })

  test('folder and topics may have a dot in their names', async () => {
    await using log = await openEventLog(`lmdb:${freshFolder()}.fd`)
    await log.append('a.b', [{ value: '1', timestamp: 1 }])
    expect((await log.topic('a.b')).offsets).toEqual([{ start: 0, end: 1 }])
  })

  test('a group cannot commit to a topic that is appended to', async () => {
    await using log = await openEventLog(`lmdb:${freshFolder()}`)
    await log.append('in', [{ value: '1', timestamp: 1 }])
    await log.append('out', [{ value: '1', timestamp: 1 }])
    await using member = await log.join('g', 'in')
    const outputs = new Map([['out', [{ value: '2', timestamp: 2 }]]])
    await expect(member.commit(0, 1, outputs)).rejects.toThrow(/cannot commit to topic "out"/)
    expect(member.committed.get(0)).toBe(0)
  })

  test('names and settings that cannot be are refused', async () => {
    await using log = await openEventLog(`lmdb:${freshFolder()}`)
    for (const name of ['', '..', 'a/b', 'x'.repeat(250)]) {
      await expect(log.append(name, [])).rejects.toThrow(/cannot be the name of a topic/)
    }
    await expect(log.createTopic('t', { partitions: 0 })).rejects.toThrow(/cannot have 0 partitions/)
    await expect(log.append('t', [{ value: '', timestamp: 0, partition: 1 }])).rejects.toThrow(/no partition 1/)
    await expect(openEventLog('lmdb:')).rejects.toThrow(UserError)
    await expect(openEventLog('redis://here')).rejects.toThrow(UserError)
  })
})
