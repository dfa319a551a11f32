import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { canInstallPackages, installPackages, isInstalled, markInstalled, onPath, run } from './install.ts'
import type { Service } from './service.ts'

const FILES = join(PROJECT_ROOT, 'configs', 'services', 'kafka')
const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
/** Enough for tests and a demo; the page cache, not the heap, holds the log. */
const HEAP = ['-Xms256m', '-Xmx512m']
const ANSWER_MS = 3000

/** Apache Kafka in KRaft mode: one process that is broker and controller, from the jars of Maven Central. */
export function kafkaService(
  { port, controllerPort, version }: { port: number; controllerPort: number; version: string },
  cache: string,
): Service {
  const installed = join(cache, `kafka-${version}`)
  const classPath = join(installed, 'lib', '*')
  return {
    name: 'kafka',
    port,
    url: `kafka://127.0.0.1:${port}`,
    environment: { KAFKA_BROKERS: `127.0.0.1:${port}` },
    missing: () => {
      if (onPath('java') === undefined && !canInstallPackages())
        return 'Kafka needs Java 17 or later. Run: sudo apt-get install -y default-jre-headless maven'
      return isInstalled(installed) && onPath('java') !== undefined
        ? undefined
        : `Kafka ${version} is not installed (44 MB from Maven Central). Run: fd services up kafka --install`
    },
    install: () => install(installed, version),
    prepare: async (folder) => {
      const properties = join(folder, 'server.properties')
      writeFileSync(properties, configuration(folder, port, controllerPort))
      if (!existsSync(join(folder, 'data', 'meta.properties'))) await format(classPath, folder, properties)
      return {
        command: 'java',
        args: [
          ...HEAP,
          `-Dlog4j2.configurationFile=${join(FILES, 'log4j2.properties')}`,
          '-cp',
          classPath,
          'kafka.Kafka',
          properties,
        ],
      }
    },
    check: async () => {
      await askVersions(port)
      return version
    },
    patience: { startMs: 120_000, stopMs: 45_000 },
  }
}

async function install(folder: string, version: string): Promise<void> {
  const packages = [
    ...(onPath('java') === undefined ? ['default-jre-headless'] : []),
    ...(onPath('mvn') === undefined ? ['maven'] : []),
  ]
  if (packages.length > 0) await installPackages(...packages)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  await run('mvn', [
    '-B',
    '-q',
    '-f',
    join(FILES, 'pom.xml'),
    `-Dkafka.version=${version}`,
    DEPENDENCY_PLUGIN,
    '-DincludeScope=runtime',
    `-DoutputDirectory=${join(folder, 'lib')}`,
  ])
  markInstalled(folder)
}

/** Kafka keeps an identity in its data folder, written once; a folder half formatted by an interrupted start is made anew. */
async function format(classPath: string, folder: string, properties: string): Promise<void> {
  rmSync(join(folder, 'data'), { recursive: true, force: true })
  // One in 64 begins with a dash, and would be an option if it stood by itself.
  const cluster = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')
  await run('java', [
    ...HEAP,
    '-cp',
    classPath,
    'kafka.tools.StorageTool',
    'format',
    '--standalone',
    `--cluster-id=${cluster}`,
    '-c',
    properties,
  ])
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
    // Topics are made on purpose, with their partitions and retention; a typing error must not become a topic.
    'auto.create.topics.enable=false',
    // One broker holds everything once.
    'default.replication.factor=1',
    'offsets.topic.replication.factor=1',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'share.coordinator.state.topic.replication.factor=1',
    'share.coordinator.state.topic.min.isr=1',
    // Fifty partitions each, the default, cost a single machine its first seconds.
    'offsets.topic.num.partitions=8',
    'transaction.state.log.num.partitions=8',
    // A group of one need not wait three seconds for others.
    'group.initial.rebalance.delay.ms=0',
    '',
  ].join('\n')
}

/** An ApiVersions request of version 0, the one every Kafka answers: size, key 18, version 0, correlation 7, client "fd". */
const API_VERSIONS = Buffer.from([0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 7, 0, 2, 0x66, 0x64])

/** Resolves when the broker answers a request; it opens its listener to clients at the end of its start. */
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
      // Size, our correlation number, then error code 0.
      if (answer.length >= 10)
        end(
          answer.readInt32BE(4) === 7 && answer.readInt16BE(8) === 0
            ? undefined
            : new Error('what listens there is not Kafka'),
        )
    })
  })
}
