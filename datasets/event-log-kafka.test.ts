import { randomUUID } from 'node:crypto'
import { Connection, describeGroupsV5, findCoordinatorV4, leaveGroupV5 } from '@platformatic/kafka'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, describe } from 'vitest'
import { eventLogContract } from './event-log.contract.ts'

/** kafka://HOST:PORT of a broker to test against; set by the service layer. */
const server = process.env.FD_TEST_KAFKA_URL
const run = `fd-test-${randomUUID().slice(0, 8)}`
const broker = server?.slice('kafka://'.length) ?? ''
const peer = new Kafka({ brokers: [broker], clientId: run, logLevel: logLevel.NOTHING })

let logs = 0
const fresh = (): string => `${server}?prefix=${run}.${logs++}.`

/** Shows the members of a group out, as a broker does when their session has ended. */
async function buryOwner(url: string, group: string, topic: string): Promise<void> {
  const id = `${new URLSearchParams(url.split('?')[1]).get('prefix')}${group}/${topic}`
  const [host, port] = broker.split(':')
  const connection = new Connection(run)
  await connection.connect(host, Number(port))
  await findCoordinatorV4.api.async(connection, 0, [id])
  const { groups } = await describeGroupsV5.api.async(connection, [id], false)
  const members = groups[0].members.map(({ memberId }) => ({ memberId, groupInstanceId: null, reason: null }))
  await leaveGroupV5.api.async(connection, id, members)
  await connection.close()
}

describe.runIf(server !== undefined)('Kafka (FD_TEST_KAFKA_URL)', () => {
  afterAll(async () => {
    const admin = peer.admin()
    await admin.connect()
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(run))
    if (topics.length > 0) await admin.deleteTopics({ topics })
    const groups = (await admin.listGroups()).groups.filter(({ groupId }) => groupId.startsWith(run)).map(({ groupId }) => groupId)
    if (groups.length > 0) await admin.deleteGroups(groups)
    await admin.disconnect()
  })

  eventLogContract('kafka', { fresh, buryOwner, fractionalTime: false, retentionByRecordTime: false, startMs: 1000 })
})
