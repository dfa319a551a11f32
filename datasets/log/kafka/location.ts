import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from '@platformatic/kafka'
import { decodedPart, withoutPassword } from '../../../configs/url.ts'
import { UserError } from '../../../configs/user-error.ts'
import { SECOND, type DurationMs } from '../../table/transaction.ts'

/** Where a Kafka cluster is and how to connect to it, as the URL of an event log says. */
export interface KafkaLocation {
  /** The URL without its password, for messages. */
  shown: string
  brokers: BrokerAddress[]
  /** Precedes the name of every topic and group, so that several logs can share a cluster. The log hides it again. */
  prefix: string
  tls?: ConnectionOptions['tls']
  sasl?: ConnectionOptions['sasl']
  /** How long a call waits for a cluster that answered before but no longer does. */
  patience: DurationMs
  /** How long a group's member may be silent before it loses its partitions. Brokers allow 6 s to 30 min by default. */
  session: DurationMs
}

export interface BrokerAddress {
  host: string
  port: number
}

const KAFKA_URL_HELP =
  'kafka://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]' +
  '[?sasl=plain|scram-sha-256|scram-sha-512&tls=true&ca=FILE&cert=FILE&key=FILE' +
  '&prefix=NAME&patience=SECONDS&session=SECONDS]'

const MECHANISMS = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const
const PARAMETERS = new Set(['sasl', 'tls', 'ca', 'cert', 'key', 'prefix', 'patience', 'session'])
const URL_PATTERN = /^kafka:\/\/(?:([^@/?:]*):([^@/?]*)@)?([^@/?]+)\/?(?:\?(.*))?$/

/**
 * Reads `kafka://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…][?PARAMETER=VALUE&…]`. User and password are
 * percent-encoded.
 *
 *     sasl      plain, scram-sha-256 or scram-sha-512 (with a user: scram-sha-512 when not given)
 *     tls       true: encrypt the connection, and check the broker's certificate against the system's authorities
 *     ca        a PEM file of authorities to check it against instead; cert and key: PEM files of a client certificate
 *     prefix    precedes the name of every topic and group
 *     patience  seconds that a call waits for a cluster that has gone (60)
 *     session   seconds after which the partitions of a silent group member are divided among the others (10)
 *
 * @throws UserError for anything else, and for a PEM file that cannot be read.
 */
export function parseKafkaUrl(url: string): KafkaLocation {
  const match = URL_PATTERN.exec(url)
  const shown = withoutPassword(url)
  if (match === null) throw new UserError(`"${shown}" is not the URL of a Kafka cluster. Use ${KAFKA_URL_HELP}`)
  const [, user, password, hosts, query = ''] = match
  if (user === undefined && shown !== url) {
    throw new UserError(`User or password in ${shown} has a mark that must be escaped. Write / as %2F, ? as %3F.`)
  }
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys()) {
    if (!PARAMETERS.has(name)) {
      throw new UserError(`"${shown}" has an unknown parameter "${name}". Use ${KAFKA_URL_HELP}`)
    }
  }
  const prefix = parsePrefix(parameters, shown)
  return {
    shown,
    brokers: hosts.split(',').map((broker) => parseBroker(broker, shown)),
    prefix,
    tls: parseTls(parameters, shown),
    sasl:
      user === undefined
        ? undefined
        : parseSasl(parameters, decodedPart(user, shown), decodedPart(password, shown), shown),
    patience: seconds(parameters, 'patience', 60, shown),
    session: seconds(parameters, 'session', 10, shown),
  }
}

function parsePrefix(parameters: URLSearchParams, shown: string): string {
  const prefix = parameters.get('prefix') ?? ''
  if (/^[A-Za-z0-9._-]{0,100}$/.test(prefix)) return prefix
  throw new UserError(
    `"${prefix}" in ${shown} cannot begin the name of a topic: ` +
      'use at most 100 letters, digits, dots, underscores and hyphens.',
  )
}

/** The brokers as Kafka's tools take them after `--bootstrap-server`. */
export function bootstrapServers({ brokers }: KafkaLocation): string {
  return brokers.map(({ host, port }) => `${host}:${port}`).join(',')
}

function parseBroker(text: string, shown: string): BrokerAddress {
  const [, host = '', port = ''] = /^(\[[^\]]+\]|[^:]+):(\d+)$/.exec(text) ?? []
  if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
    throw new UserError(`"${text}" in ${shown} is not HOST:PORT of a Kafka broker. Use ${KAFKA_URL_HELP}`)
  }
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

function parseSasl(
  parameters: URLSearchParams,
  username: string,
  password: string,
  shown: string,
): ConnectionOptions['sasl'] {
  const name = parameters.get('sasl') ?? 'scram-sha-512'
  if (!(name in MECHANISMS)) {
    throw new UserError(`"sasl=${name}" in ${shown} is not known. Use sasl=${Object.keys(MECHANISMS).join(', sasl=')}`)
  }
  return { mechanism: MECHANISMS[name as keyof typeof MECHANISMS], username, password }
}

function parseTls(parameters: URLSearchParams, shown: string): ConnectionOptions['tls'] {
  const given = ['ca', 'cert', 'key'].filter((name) => parameters.has(name))
  const tls = parameters.get('tls') ?? String(given.length > 0)
  if (tls !== 'true' && tls !== 'false') throw new UserError(`"tls=${tls}" in ${shown} must be tls=true or tls=false.`)
  if (tls === 'false') return undefined
  return Object.fromEntries(given.map((name) => [name, readPem(parameters.get(name) ?? '', name, shown)]))
}

function readPem(file: string, name: string, shown: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new UserError(`The file "${file}" of "${name}=" in ${shown} cannot be read. Give a PEM file.`, { cause })
  }
}

function seconds(parameters: URLSearchParams, name: string, fallback: number, shown: string): DurationMs {
  const value = Number(parameters.get(name) ?? fallback)
  if (!(value > 0 && value <= 86_400)) {
    throw new UserError(`"${name}=${parameters.get(name)}" in ${shown} must be a number of seconds.`)
  }
  return value * SECOND
}
