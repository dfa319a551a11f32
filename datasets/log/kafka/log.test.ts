import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { hostname } from 'node:os'
import {
  Connection,
  deleteRecordsV2,
  describeGroupsV5,
  initProducerIdV4,
  joinGroupV7,
  leaveGroupV5,
} from '@platformatic/kafka'
import { AssignerProtocol, CompressionTypes, Kafka, logLevel, Partitioners } from 'kafkajs'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { thisPlace, thisProcess } from '../../../configs/process/living-process.ts'
import { UserError } from '../../../configs/user-error.ts'
import { openEventLog } from '../../open.ts'
import { commitDurably, eventLogContract, recordsOf } from '../event-log.contract.ts'
import type { EventLog } from '../event-log.ts'
import { partitionOf } from '../murmur2.ts'
import { KafkaCluster } from './cluster.ts'
import { evictEndedMembers, groupId, leaveGroup } from './group.ts'
import { parseKafkaUrl } from './location.ts'
import { kafkaTopics } from './topics.ts'

/** kafka://HOST:PORT of a broker to test against; set by the service layer. */
const server = process.env.FD_TEST_KAFKA_URL
const run = `fd-test-${randomUUID().slice(0, 8)}`
const broker = server?.slice('kafka://'.length) ?? ''
const peer = new Kafka({ brokers: [broker], clientId: run, logLevel: logLevel.NOTHING })

let logs = 0
const fresh = (): string => `${server}?prefix=${run}.${logs++}.`

/** Evicts the members of a group, as a broker does when their session has ended. */
async function evictOwner(url: string, group: string, topic: string): Promise<void> {
  const id = `${new URLSearchParams(url.split('?')[1]).get('prefix')}${group}/${topic}`
  await using connection = await connected()
  const { groups } = await describeGroupsV5.api.async(connection.to, [id], false)
  const members = groups[0].members.map(({ memberId }) => ({ memberId, groupInstanceId: null, reason: null }))
  await leaveGroupV5.api.async(connection.to, id, members)
}

async function connected(name = run): Promise<AsyncDisposable & { to: Connection }> {
  const to = new Connection(name)
  const [host, port] = broker.split(':')
  await to.connect(host, Number(port))
  return { to, [Symbol.asyncDispose]: () => to.close() }
}

describe.runIf(server !== undefined)('Kafka (FD_TEST_KAFKA_URL)', () => {
  afterAll(async () => {
    const admin = peer.admin()
    await admin.connect()
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(run))
    if (topics.length > 0) await admin.deleteTopics({ topics })
    const groups = (await admin.listGroups()).groups
      .filter(({ groupId }) => groupId.startsWith(run))
      .map(({ groupId }) => groupId)
    if (groups.length > 0) await admin.deleteGroups(groups)
    await admin.disconnect()
  })

  describe('with kafkajs as the independent peer', () => {
    peerTests()
  })
  describe('transactions', () => {
    transactionTests()
  })
  describe('groups', () => {
    memberTests()
  })
  describe('faults', () => {
    faultTests()
  })
  eventLogContract('kafka', {
    fresh,
    freshWithShortSession: () => `${fresh()}&session=6`,
    evictOwner,
    fractionalTime: false,
    retentionByRecordTime: false,
  })
})

const prefixOf = (url: string): string => parseKafkaUrl(url).prefix

/** Text of the bytes that `recordsOf` gives as latin1. */
const utf8 = (latin1: string): string => Buffer.from(latin1, 'latin1').toString()

async function valuesOf(log: EventLog, topic: string, partition = 0): Promise<string[]> {
  const seen: string[] = []
  for await (const batch of log.read(topic, partition)) seen.push(...recordsOf(batch).map(({ value }) => value))
  return seen
}

function peerTests(): void {
  const keys = Array.from(
    { length: 300 },
    (_, i) => ['card-', 'carte-é-', '顧客-'][i % 3] + String(i * 7919).repeat(1 + (i % 4)),
  )

  test.each([CompressionTypes.None, CompressionTypes.GZIP])(
    'reads what it produced (compression %i): ' +
      'same partition for a key, keys, values and times intact, headers passed over',
    async (compression) => {
      const url = fresh()
      await using log = await openEventLog(url)
      await log.createTopic('t', { partitions: 5 })
      const producer = peer.producer({ createPartitioner: Partitioners.DefaultPartitioner })
      await producer.connect()
      const topic = `${prefixOf(url)}t`
      const messages = keys.map((key, i) => ({
        key,
        value: `value ${i} µ`,
        timestamp: String(1_700_000_000_000 + i),
        headers: { trace: `t${i}`, empty: '' },
      }))
      await producer.send({ topic, messages, compression })
      const empty = { key: null, value: null, partition: 2, timestamp: '5' }
      await producer.send({ topic, messages: [empty], compression })
      await producer.disconnect()
      for (let partition = 0; partition < 5; partition++) {
        const seen = []
        for await (const batch of log.read('t', partition, { maxRecords: 7 })) seen.push(...recordsOf(batch))
        const expected = messages
          .filter(({ key }) => partitionOf(Buffer.from(key), 5) === partition)
          .map(({ key, value, timestamp }) => [key, value, Number(timestamp)])
        if (partition === 2) expected.push(['', '', 5])
        expect(seen.map(({ key, value, timestamp }) => [utf8(key), utf8(value), timestamp])).toEqual(expected)
      }
    },
  )

  test(
    'reads what we appended and what we committed, ' +
      'in its own partitions, once, and nothing that was not committed',
    async () => {
      const url = fresh()
      await using log = await openEventLog(url)
      await log.createTopic('t', { partitions: 5 })
      const appended = keys.map((key, i) => ({ key, value: `v${i}`, timestamp: 1_700_000_000_000 + i }))
      await log.append('t', appended)
      await log.append('in', [{ value: '', timestamp: 0 }])
      await using member = await log.join('g', 'in')
      await commitDurably(member, 0, 1, { t: keys.map((key, i) => ({ key, value: `c${i}`, timestamp: i })) })
      const consumer = peer.consumer({ groupId: `${prefixOf(url)}peer`, readUncommitted: false })
      await consumer.connect()
      await consumer.subscribe({ topic: `${prefixOf(url)}t`, fromBeginning: true })
      const seen: { key: string; value: string; partition: number; timestamp: string }[] = []
      const { promise, resolve } = Promise.withResolvers<void>()
      await consumer.run({
        eachMessage: async ({ partition, message }) => {
          seen.push({ key: String(message.key), value: String(message.value), partition, timestamp: message.timestamp })
          if (seen.length === keys.length * 2) resolve()
        },
      })
      await promise
      await consumer.disconnect()
      const expected = keys.flatMap((key, i) => {
        const partition = partitionOf(Buffer.from(key), 5)
        return [
          { key, value: `v${i}`, partition, timestamp: String(1_700_000_000_000 + i) },
          { key, value: `c${i}`, partition, timestamp: String(i) },
        ]
      })
      const byValue = (records: typeof seen): typeof seen => records.toSorted((a, b) => a.value.localeCompare(b.value))
      expect(byValue(seen)).toEqual(byValue(expected))
    },
  )

  test('commits and aborts transactions: readers see the committed, past any number of markers', async () => {
    const url = fresh()
    await using log = await openEventLog(url)
    await log.createTopic('t')
    const producer = peer.producer({
      transactionalId: `${prefixOf(url)}peer`,
      maxInFlightRequests: 1,
      idempotent: true,
      createPartitioner: Partitioners.DefaultPartitioner,
    })
    await producer.connect()
    for (let i = 0; i < 9; i++) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: `${prefixOf(url)}t`, messages: [{ value: `a${i}` }, { value: `b${i}` }] })
      await (i % 3 === 1 ? transaction.abort() : transaction.commit())
      await log.append('t', [{ value: `own ${i}`, timestamp: 1 }])
    }
    const open = await producer.transaction()
    await open.send({ topic: `${prefixOf(url)}t`, messages: [{ value: 'open' }] })
    setTimeout(() => void open.abort(), 200)
    const expected = Array.from({ length: 9 }, (_, i) =>
      i % 3 === 1 ? [`own ${i}`] : [`a${i}`, `b${i}`, `own ${i}`],
    ).flat()
    expect(await valuesOf(log, 't')).toEqual(expected)
    await producer.disconnect()
    await using member = await log.join('g', 't')
    expect((await member.poll({ maxRecords: 100, timeoutMs: 1000 }))?.size).toBe(expected.length)
    expect(await member.poll({ maxRecords: 100, timeoutMs: 50 })).toBeUndefined()
    expect(await member.idle()).toBe(true)
  })
}

function transactionTests(): void {
  test('a commit that cannot be done whole writes nothing, and the next one is done', async () => {
    const url = fresh()
    await using log = await openEventLog(url)
    await log.append('in', [{ value: '', timestamp: 0 }])
    await using member = await log.join('g', 'in')
    const small = { value: 'small', timestamp: 1 }
    const tooLarge = { value: Buffer.alloc(9 << 20), timestamp: 1 }
    const failed = commitDurably(member, 0, 1, { a: [small], b: [small, tooLarge] })
    await expect(failed).rejects.toThrow(/over the limit of topic "b".*max.message.bytes/)
    expect(member.committed.get(0)).toBe(0)
    await commitDurably(member, 0, 1, { a: [small], b: [small] })
    expect([await valuesOf(log, 'a'), await valuesOf(log, 'b')]).toEqual([['small'], ['small']])
  })

  test(
    'the transactional id alone shuts a zombie out: ' +
      'another that takes it aborts what is open, and commits are refused',
    async () => {
      const url = fresh()
      await using log = await openEventLog(url)
      await log.append('in', [{ value: '', timestamp: 0 }])
      const zombie = await log.join('g', 'in')
      await commitDurably(zombie, 0, 1, { out: [{ value: 'before', timestamp: 1 }] })
      await using connection = await connected()
      // The broker refuses this while it is still writing the markers of the earlier commit.
      const id = `${prefixOf(url)}g/in/0`
      await vi.waitFor(() => initProducerIdV4.api.async(connection.to, id, 60_000, -1n, -1), {
        timeout: 5000,
        interval: 20,
      })
      const refused = commitDurably(zombie, 0, 2, { out: [{ value: 'zombie', timestamp: 1 }] })
      await expect(refused).rejects.toThrow(/taken over/)
      await expect(commitDurably(zombie, 0, 2)).rejects.toThrow(/taken over/)
      await zombie[Symbol.asyncDispose]()
      await using successor = await log.join('g', 'in')
      expect(successor.committed.get(0)).toBe(1)
      expect(await valuesOf(log, 'out')).toEqual(['before'])
    },
  )

  test(
    'the place in the group alone shuts a zombie out: ' +
      'nothing of its commit is seen, ' +
      'and no reader waits for it',
    async () => {
      const url = fresh()
      await using log = await openEventLog(url)
      await log.append('in', [{ value: '', timestamp: 0 }])
      await using zombie = await log.join('g', 'in')
      await commitDurably(zombie, 0, 1, { out: [{ value: 'before', timestamp: 1 }] })
      await evictOwner(url, 'g', 'in')
      const refused = commitDurably(zombie, 0, 2, { out: [{ value: 'zombie', timestamp: 1 }] })
      await expect(refused).rejects.toThrow(/taken over/)
      expect(await valuesOf(log, 'out')).toEqual(['before'])
    },
  )

  test('a member that was shut out hears of it when it polls, and goes on with a new share', async () => {
    const url = `${fresh()}&session=6`
    await using log = await openEventLog(url)
    await log.append('in', [{ value: '', timestamp: 0 }])
    const heard: string[] = []
    await using member = await log.join('g', 'in', {
      onAssigned: async (partitions) => void heard.push(`+${partitions.join()}`),
      onRevoked: async (partitions, lost) => void heard.push(`${lost ? '!' : '-'}${partitions.join()}`),
    })
    await evictOwner(url, 'g', 'in')
    await vi.waitFor(
      async () => {
        await member.poll({ maxRecords: 1, timeoutMs: 100 })
        expect(heard).toEqual(['+0', '!0', '+0'])
      },
      { timeout: 20_000 },
    )
    await commitDurably(member, 0, 1, { out: [{ value: 'after', timestamp: 1 }] })
    expect(await valuesOf(log, 'out')).toEqual(['after'])
  })
}

function memberTests(): void {
  test('kafkajs sees the members, what they subscribed to and what they have', async () => {
    const url = fresh()
    await using log = await openEventLog(url)
    await log.createTopic('in', { partitions: 3 })
    await using member = await log.join('g', 'in')
    const admin = peer.admin()
    await admin.connect()
    const { groups } = await admin.describeGroups([`${prefixOf(url)}g/in`])
    await admin.disconnect()
    expect(groups[0]).toMatchObject({ state: 'Stable', protocolType: 'consumer' })
    const [{ memberMetadata, memberAssignment }] = groups[0].members
    expect(AssignerProtocol.MemberMetadata.decode(memberMetadata)?.topics).toEqual([`${prefixOf(url)}in`])
    expect(AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment).toEqual({
      [`${prefixOf(url)}in`]: [...member.committed.keys()],
    })
  })

  test('records that are deleted before a member reads them are told', async () => {
    const url = fresh()
    await using log = await openEventLog(url)
    await log.createTopic('in')
    await log.append('in', [{ value: '0', timestamp: 1 }])
    await using member = await log.join('g', 'in')
    expect((await member.poll({ maxRecords: 10, timeoutMs: 5000 }))?.size).toBe(1)
    // While the member does not ask, more comes than it has fetched, and all but the last is deleted.
    const many = Array.from({ length: 30_000 }, (_, i) => ({ value: `${i}`.padEnd(200), timestamp: 1 }))
    await log.append('in', many)
    const admin = peer.admin()
    await admin.connect()
    const topic = `${prefixOf(url)}in`
    // kafkajs learns of the topic by this.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '30000' }] })
    await admin.disconnect()
    const rest = async (): Promise<void> => {
      for (let read = 1; read <= 30_000;) {
        read += (await member.poll({ maxRecords: 10_000, timeoutMs: 5000 }))?.size ?? 0
      }
    }
    await expect(rest()).rejects.toThrow(/to 29999 of "in", partition 0, were deleted by the topic's retention/)
  })

  test('partitions that were added are shared at the next rebalance', async () => {
    const url = fresh()
    await using log = await openEventLog(url)
    await log.createTopic('in', { partitions: 2 })
    await using first = await log.join('g', 'in')
    const admin = peer.admin()
    await admin.connect()
    await admin.createPartitions({ topicPartitions: [{ topic: `${prefixOf(url)}in`, count: 4 }] })
    await admin.disconnect()
    const joined = new AbortController()
    const joining = log.join('g', 'in').finally(() => joined.abort())
    while (!joined.signal.aborted) await first.poll({ maxRecords: 1, timeoutMs: 100 })
    await using second = await joining
    await vi.waitFor(
      async () => {
        for (const member of [first, second]) await member.poll({ maxRecords: 1, timeoutMs: 20 })
        const owned = [...first.committed.keys(), ...second.committed.keys()]
        expect(owned.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
        expect(first.committed.size).toBe(2)
      },
      { timeout: 30_000 },
    )
    await log.append('in', [{ value: 'new', timestamp: 1, partition: 3 }])
    const owner = first.committed.has(3) ? first : second
    expect((await owner.poll({ maxRecords: 1, timeoutMs: 5000 }))?.partition).toBe(3)
  })

  test(
    'a dead process of this boot and pid namespace is shown out; ' +
      'one that cannot be seen from here ' +
      'is left to its session',
    async () => {
      const url = fresh()
      const cluster = new KafkaCluster(parseKafkaUrl(url), () => {})
      const groupTopic = { cluster, topics: kafkaTopics(cluster), group: 'g', topic: 'in', lane: 'test' }
      const { pid, started } = thisProcess()
      const [boot, namespace] = thisPlace().split('/')
      const evicted: [name: string, evicted: boolean][] = [
        [`fd ${hostname()} ${pid} 1 ${thisPlace()}`, true],
        [`fd ${hostname()} ${pid} ${started} ${thisPlace()}`, false],
        [`fd ${hostname()} ${pid} 1 ${boot}/4026539999`, false],
        // The first pid namespace has the same number on every machine, and machines may share a name.
        [`fd ${hostname()} ${pid} 1 another-boot/${namespace}`, false],
        // As an earlier fd named itself.
        [`fd ${hostname()} ${pid} 1 ${namespace}`, false],
        [`fd elsewhere ${pid} 1 ${thisPlace()}`, false],
        ['kafkajs', false],
      ]
      for (const [name, expected] of evicted) {
        await using connection = await connected(name)
        const memberId = await joinedBy(connection.to, groupId(groupTopic))
        expect([name, await evictEndedMembers(groupTopic)]).toEqual([name, expected])
        await leaveGroup(groupTopic, memberId)
      }
      await cluster[Symbol.asyncDispose]()
    },
  )
}

/** Joins a group by hand. @returns the member's id. */
async function joinedBy(connection: Connection, group: string): Promise<string> {
  const join = (id: string): Promise<{ memberId: string }> =>
    joinGroupV7.api.async(connection, group, 6000, 6000, id, null, 'consumer', [
      { name: 'fd-test', metadata: Buffer.alloc(0) },
    ])
  const refusal = (await join('').catch((error: unknown) => error)) as { response: { memberId: string } }
  return (await join(refusal.response.memberId)).memberId
}

async function reach(url: string): Promise<void> {
  await using log = await openEventLog(url)
  await log.topics()
}

function faultTests(): void {
  test('a wrong port, an unknown host and a URL that is none are errors that name them', async () => {
    await expect(reach('kafka://127.0.0.1:1')).rejects.toThrow(
      /No Kafka broker answers at kafka:\/\/127.0.0.1:1: .*ECONNREFUSED.*fd services up kafka/,
    )
    await expect(reach('kafka://no-such-host.invalid:9092')).rejects.toThrow(/no-such-host.invalid/)
    for (const url of [
      'kafka://host',
      'kafka://',
      'kafka://host:x',
      'kafka://host:1?nonsense=1',
      'kafka://u:p@host:1?sasl=md5',
      'kafka://host:1?ca=/no/file',
      'kafka://host:1?patience=-1',
    ]) {
      await expect(reach(url)).rejects.toThrow(UserError)
    }
  })

  test('a password is in no message', async () => {
    await expect(openEventLog('kafka://me:secret@127.0.0.1:1?sasl=md5')).rejects.not.toThrow(/secret/)
    await using log = await openEventLog(`${(server ?? '').replace('//', '//me:secret@')}?sasl=plain`)
    const failure: unknown = await log.topics().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(UserError)
    expect(String(failure)).not.toContain('secret')
  })

  test('a record over the limit is an error that says how to raise it; the log goes on', async () => {
    await using log = await openEventLog(fresh())
    await log.append('t', [{ value: 'a', timestamp: 0 }])
    await expect(log.append('t', [{ value: Buffer.alloc(9 << 20), timestamp: 0 }])).rejects.toThrow(
      /over the limit of topic "t".*max.message.bytes/,
    )
    await log.append('t', [{ value: 'b', timestamp: 0 }])
    expect(await valuesOf(log, 't')).toEqual(['a', 'b'])
  })

  test('names and partitions that cannot be are refused', async () => {
    await using log = await openEventLog(fresh())
    for (const name of ['', '..', 'a/b', 'x'.repeat(250)]) {
      await expect(log.append(name, [])).rejects.toThrow(/cannot be the name of a topic/)
    }
    await expect(log.createTopic('t', { partitions: 0 })).rejects.toThrow(/cannot have 0 partitions/)
    await expect(log.append('u', [{ value: '', timestamp: 0, partition: 1 }])).rejects.toThrow(/no partition 1/)
  })

  test('records that were deleted move the start, and readers and members are clamped to it', async () => {
    const url = fresh()
    await using log = await openEventLog(url)
    const records = Array.from({ length: 20 }, (_, i) => ({ value: String(i), timestamp: i }))
    await log.append('t', records)
    await using member = await log.join('g', 't')
    await using connection = await connected()
    const request = [{ name: `${prefixOf(url)}t`, partitions: [{ partitionIndex: 0, offset: 15n }] }]
    await deleteRecordsV2.api.async(connection.to, request, 5000)
    expect((await log.topic('t')).offsets).toEqual([{ start: 15, end: 20 }])
    expect(await valuesOf(log, 't')).toEqual(['15', '16', '17', '18', '19'])
    expect((await member.poll({ maxRecords: 100, timeoutMs: 1000 }))?.offsets[0]).toBe(15)
  })

  test(
    'connections that are cut, and a broker that cannot be reached for a while: ' +
      'told, waited for, nothing lost or doubled',
    async () => {
      await using wire = await cuttableWire(broker)
      const told: string[] = []
      const url = `kafka://127.0.0.1:${wire.port}?prefix=${prefixOf(fresh())}`
      await using log = await openEventLog(url, (message) => told.push(message))
      await log.append('in', [{ value: '0', timestamp: 0 }])
      await using member = await log.join('g', 'in')
      const count = 60
      const appending = (async () => {
        for (let i = 1; i < count; i++) await log.append('in', [{ value: String(i), timestamp: i }])
      })()
      for (let next = 0, cuts = 0; next < count;) {
        if (next >= cuts * 10) {
          cuts++
          wire.cut(cuts === 3 ? 4000 : 30)
        }
        const batch = await member.poll({ maxRecords: 4, timeoutMs: 500 })
        if (batch === undefined) continue
        const out = recordsOf(batch).map(({ value }) => ({ value, timestamp: 1 }))
        next += batch.size
        await commitDurably(member, 0, batch.offsets[batch.size - 1] + 1, { out })
      }
      await appending
      const expected = Array.from({ length: count }, (_, i) => String(i))
      expect(await valuesOf(log, 'in')).toEqual(expected)
      expect(await valuesOf(log, 'out')).toEqual(expected)
      expect(told.join('\n')).toMatch(/does not answer .*waiting up to 60 s[^]*answers again/)
    },
  )
}

/**
 * A port that relays to the broker until it is cut. Then every connection breaks, and for some milliseconds no new one
 * is accepted. The relay replaces the broker's port in what the broker says of its own address; otherwise the client
 * would go around the relay.
 */
async function cuttableWire(to: string): Promise<AsyncDisposable & { port: number; cut(milliseconds: number): void }> {
  const [host, port] = to.split(':')
  const sockets = new Set<Socket>()
  let open = true
  let own: Buffer = Buffer.alloc(0)
  const address = (number: number): Buffer => {
    const bytes = Buffer.alloc(host.length + 4)
    bytes.write(host)
    bytes.writeInt32BE(number, host.length)
    return bytes
  }
  const relay = createServer((near) => {
    near.on('error', () => near.destroy())
    if (!open) {
      near.destroy()
      return
    }
    const far = connect(Number(port), host)
    far.on('error', () => near.destroy())
    near.pipe(far)
    far.on('data', (chunk) => {
      const at = chunk.indexOf(address(Number(port)))
      if (at >= 0) own.copy(chunk, at)
      near.write(chunk)
    })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(one)
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
  })
  await once(relay.listen(0, '127.0.0.1'), 'listening')
  const relayPort = (relay.address() as AddressInfo).port
  own = address(relayPort)
  const destroy = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: relayPort,
    cut(milliseconds) {
      open = false
      destroy()
      setTimeout(() => (open = true), milliseconds)
    },
    async [Symbol.asyncDispose]() {
      destroy()
      relay.close()
    },
  }
}
