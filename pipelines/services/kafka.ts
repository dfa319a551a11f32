import { randomUUID } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { makeFolder } from '../../configs/folder.ts'
import { canInstallPackages, installPackages, isInstalled, markInstalled, onPath, run } from './install.ts'
import type { Launch } from './process.ts'
import type { Service } from './service.ts'

const FILES = join(PROJECT_ROOT, 'configs', 'services', 'kafka')
const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
/** Enough for tests and a demo. The log is held by the page cache, not by the heap. */
const HEAP = ['-Xms256m', '-Xmx512m']
const ANSWER_MS = 3000

/** Apache Kafka in KRaft mode: one process that is broker and controller, from the jars of Maven Central. */
export function kafkaService(settings: KafkaSettings, cache: string): Service {
  const { port, version } = settings
  const installed = join(cache, `kafka-${version}`)
  return {
    name: 'kafka',
    port,
    url: `kafka://127.0.0.1:${port}`,
    environment: { KAFKA_BROKERS: `127.0.0.1:${port}` },
    missing: () => missing(installed, version),
    install: () => install(installed, version),
    prepare: (folder) => prepare(installed, folder, settings),
    check: async () => {
      await askVersions(port)
      return version
    },
    patience: { startMs: 120_000, stopMs: 45_000 },
  }
}

interface KafkaSettings {
  port: number
  controllerPort: number
  version: string
}

function missing(installed: string, version: string): string | undefined {
  if (onPath('java') === undefined && !canInstallPackages())
    return 'Kafka needs Java 17 or later. Run: sudo apt-get install -y default-jre-headless maven'
  return isInstalled(installed) && onPath('java') !== undefined
    ? undefined
    : `Kafka ${version} is not installed (44 MB from Maven Central). Run: fd services up kafka --install`
}

async function prepare(installed: string, folder: string, { port, controllerPort }: KafkaSettings): Promise<Launch> {
  const classPath = join(installed, 'lib', '*')
  const properties = join(folder, 'server.properties')
  writeFileSync(properties, configuration(folder, port, controllerPort))
  if (!existsSync(join(folder, 'data', 'meta.properties'))) await format(classPath, folder, properties)
  const logging = `-Dlog4j2.configurationFile=${join(FILES, 'log4j2.properties')}`
  return { command: 'java', args: [...HEAP, logging, '-cp', classPath, 'kafka.Kafka', properties] }
}

async function install(folder: string, version: string): Promise<void> {
  const packages = [
    ...(onPath('java') === undefined ? ['default-jre-headless'] : []),
    ...(onPath('mvn') === undefined ? ['maven'] : []),
  ]
  if (packages.length > 0) await installPackages(...packages)
  rmSync(folder, { recursive: true, force: true })
  makeFolder(folder)
  const project = ['-B', '-q', '-f', join(FILES, 'pom.xml'), `-Dkafka.version=${version}`]
  const into = ['-DincludeScope=runtime', `-DoutputDirectory=${join(folder, 'lib')}`]
  await run('mvn', [...project, DEPENDENCY_PLUGIN, ...into])
  markInstalled(folder)
}

/**
 * Writes Kafka's identity into its data folder, which Kafka wants done once. A folder that an interrupted start left
 * half formatted is made anew.
 */
async function format(classPath: string, folder: string, properties: string): Promise<void> {
  rmSync(join(folder, 'data'), { recursive: true, force: true })
  // One id in 64 begins with a dash. As an argument of its own it would be read as an option.
  const cluster = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')
  const tool = [...HEAP, '-cp', classPath, 'kafka.tools.StorageTool']
  await run('java', [...tool, 'format', '--standalone', `--cluster-id=${cluster}`, '-c', properties])
}

function configuration(folder: string, port: number, controllerPort: number): string {
  return [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.bootstrap.servers=127.0.0.1:${controllerPort}`,
    `listeners=CLIENT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=CLIENT://127.0.0.1:${port}`,
    'listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name=CLIENT',
    'controller.listener.names=CONTROLLER',
    `log.dirs=${join(folder, 'data')}`,
    // Topics are made on purpose, with their partitions and retention. A mistyped name must not become a topic.
    'auto.create.topics.enable=false',
    // There is one broker, so everything is held once.
    'default.replication.factor=1',
    'offsets.topic.replication.factor=1',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'share.coordinator.state.topic.replication.factor=1',
    'share.coordinator.state.topic.min.isr=1',
    // The default, fifty partitions each, costs a single machine seconds at the first start.
    'offsets.topic.num.partitions=8',
    'transaction.state.log.num.partitions=8',
    // A group of one member need not wait three seconds for others.
    'group.initial.rebalance.delay.ms=0',
    '',
  ].join('\n')
}

/**
 * An ApiVersions request of version 0, which every Kafka answers. Fields: size 12, API key 18, version 0, correlation
 * id 7, and the client id "fd" with its length.
 */
const API_VERSIONS = Buffer.from([0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 7, 0, 2, 0x66, 0x64])

/** Resolves when the broker answers a request. It starts to listen for clients only at the end of its start. */
function askVersions(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    let answer = Buffer.alloc(0)
    const end = (error?: Error): void => {
      socket.destroy()
      if (error === undefined) resolve()
      else reject(error)
    }
    socket.setTimeout(ANSWER_MS, () => end(new Error(`no answer within ${ANSWER_MS} ms`)))
    socket
      .once('error', end)
      .once('end', () => end(new Error('Kafka closed the connection')))
      .once('connect', () => socket.write(API_VERSIONS))
    socket.on('data', (bytes: Buffer) => {
      answer = Buffer.concat([answer, bytes])
      if (answer.length >= 10) end(isKafka(answer) ? undefined : new Error('what listens there is not Kafka'))
    })
  })
}

/** The answer begins with its size, our correlation id 7, and error code 0. */
function isKafka(answer: Buffer): boolean {
  return answer.readInt32BE(4) === 7 && answer.readInt16BE(8) === 0
}
