import { clockSkew, judgeClock } from '../../../configs/clock-skew.ts'
import { RedisConnection, redisAddress } from '../../../configs/connections/redis.ts'
import {
  broken,
  find,
  findings,
  findLatency,
  type Finding,
  type Inspection,
  type Judgement,
  warning,
} from '../../../configs/finding.ts'
import { UserError } from '../../../configs/user-error.ts'

type Info = Record<string, string>

const OLDEST_MAJOR = 6
/** Warns from this share of the memory on: a new base is loaded while the old one is still there. */
const FULL = 0.8
/** Trial keys expire after this time, should the process die before it removes them. */
const TRIAL_MS = 60_000

/**
 * Looks at a server as the online store will use it: its version and latency, every command that the store sends, how
 * it keeps what is written, whether it may forget, its memory and its clock. The commands are tried on keys made for
 * the purpose, which are removed again.
 */
export async function inspectRedis(url: string, { now, id, tell }: Inspection): Promise<Finding[]> {
  const address = redisAddress(url)
  await using connection = await RedisConnection.open(address, tell)
  const info: Info = {}
  const server = await find('server', async () => {
    for (const section of ['server', 'memory', 'persistence'])
      Object.assign(info, infoFields(await connection.run((redis) => redis.info(section))))
    return judgeVersion(address.shown, info)
  })
  if (server.state === 'broken') return [server]
  return [
    server,
    await findLatency(now, () => connection.run((redis) => redis.ping())),
    await find('permissions', () => tryCommands(connection, `{${address.prefix}:doctor-${id}}`)),
    ...findings(
      'settings',
      judgeSettings(info, await fsyncPolicy(connection)),
      `append-only file on, nothing is evicted (maxmemory-policy ${info['maxmemory_policy']})`,
    ),
    ...findings('memory', judgeMemory(info), describeMemory(info)),
    await find('clock', () => clock(connection, now)),
  ]
}

/** The fields of an INFO section: `name:value` on each line, under headings that begin with #. */
function infoFields(text: string): Info {
  return Object.fromEntries(
    text
      .split(/\r?\n/)
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

function judgeVersion(shown: string, info: Info): string | Judgement {
  const version = info['redis_version'] ?? 'of an unknown version'
  if (Number.parseInt(version, 10) < OLDEST_MAJOR) {
    return broken(
      `${shown}: Redis ${version}, fd needs ${OLDEST_MAJOR} or later. ` +
        'Install a later one, or run: fd services up redis --install',
    )
  }
  return `${shown}: Redis ${version}, ${info['redis_mode'] ?? 'standalone'}`
}

/**
 * Tries each command that the store sends, on two keys of one hash tag.
 *
 * @throws UserError in the server's words, which name the command it refuses.
 */
async function tryCommands(connection: RedisConnection, tag: string): Promise<string> {
  const [one, other] = [`${tag}:one`, `${tag}:other`]
  try {
    await connection.run((redis) => redis.set(one, '1', 'PX', TRIAL_MS))
    await connection.run((redis) => redis.incr(one))
    await connection.run((redis) => redis.mset(other, '2'))
    const transaction = await connection.run((redis) =>
      redis.multi().mset(other, '3').set(one, '3', 'PX', TRIAL_MS).exec(),
    )
    for (const [error] of transaction ?? []) if (error !== null) throw error
    const read = await connection.run((redis) => redis.mget(one, other))
    if (read.some((value) => value !== '3')) {
      throw new UserError(
        `${connection.address.shown} gave back ${JSON.stringify(read)} for what was just written. ` +
          'Another server may stand between; use the address of Redis itself.',
      )
    }
    await connection.run((redis) => redis.eval("return redis.call('GET', KEYS[1])", 1, one))
    await connection.run((redis) => redis.scan('0', 'MATCH', `${tag}*`, 'COUNT', 1))
    await connection.run((redis) => redis.exists(one))
    await connection.run((redis) => redis.unlink(one, other))
  } finally {
    await connection.run((redis) => redis.del(one, other))
  }
  return 'wrote, read and removed keys, in a MULTI and by a script too'
}

/** The setting `appendfsync`, undefined where we may not use CONFIG, as on hosted servers. */
async function fsyncPolicy(connection: RedisConnection): Promise<string | undefined> {
  try {
    const [, value] = await connection.run((redis) => redis.config('GET', 'appendfsync'))
    return value
  } catch (error) {
    // NOPERM arrives as a UserError, a renamed command as the server's own error.
    if (error instanceof UserError || /unknown command/i.test(String(error))) return undefined
    throw error
  }
}

const NO_AOF =
  'no append-only file: what was written since the last snapshot is gone with the server. ' +
  'Run: redis-cli CONFIG SET appendonly yes, then redis-cli CONFIG REWRITE'
const NO_FSYNC =
  'appendfsync no: a power cut loses what the system has not written yet, up to half a minute. ' +
  'Run: redis-cli CONFIG SET appendfsync everysec'
const AOF_FAILED = 'the append-only file cannot be written. Free the disk, or see its log: fd services logs redis'
const EVICT_NOTHING = 'Run: redis-cli CONFIG SET maxmemory-policy noeviction'

/** The settings by which the server loses state or drops it in silence, each with the command that mends it. */
function judgeSettings(info: Info, fsync: string | undefined): Judgement[] {
  const faults: Judgement[] = []
  if (info['aof_enabled'] === '0') faults.push(warning(NO_AOF))
  else if (fsync === 'no') faults.push(warning(NO_FSYNC))
  if (info['aof_last_write_status'] === 'err') faults.push(broken(AOF_FAILED))
  return [...faults, ...judgeEviction(info['maxmemory_policy'] ?? '', info['maxmemory'])]
}

function judgeEviction(policy: string, maxmemory: string | undefined): Judgement[] {
  if (policy.startsWith('allkeys-')) {
    const detail = `maxmemory-policy ${policy} forgets customers when memory is short, in silence. ` + EVICT_NOTHING
    const unlimited = maxmemory === '0'
    return [unlimited ? warning(`${detail}. No maxmemory is set, so nothing is forgotten yet`) : broken(detail)]
  }
  if (!policy.startsWith('volatile-')) return []
  return [
    warning(
      `maxmemory-policy ${policy} drops the leases of a backfill under way when memory is short, which stops it. ` +
        EVICT_NOTHING,
    ),
  ]
}

function memoryOf(info: Info): { used: number; limit: number; of: string } {
  const [maxmemory, system] = [Number(info['maxmemory'] ?? 0), Number(info['total_system_memory'] ?? 0)]
  return {
    used: Number(info['used_memory'] ?? 0),
    limit: maxmemory > 0 ? maxmemory : system,
    of: maxmemory > 0 ? 'maxmemory' : "the machine's memory",
  }
}

function describeMemory(info: Info): string {
  const { used, limit, of } = memoryOf(info)
  return `${mebibytes(used)} MiB in use, ${((100 * used) / limit).toFixed(0)} % of ${of}`
}

function judgeMemory(info: Info): Judgement[] {
  const { used, limit } = memoryOf(info)
  if (!(used > FULL * limit)) return []
  const double = Math.ceil((2 * used) / 2 ** 20)
  return [
    warning(
      `${describeMemory(info)}: a backfill needs room for a second base. ` +
        `Raise it (redis-cli CONFIG SET maxmemory ${double}mb), or remove other data`,
    ),
  ]
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}

async function clock(connection: RedisConnection, now: () => number): Promise<string | Judgement> {
  const before = now()
  // ioredis declares numbers, but the server's answer is text.
  const [seconds, microseconds] = (await connection.run((redis) => redis.time())).map(Number)
  return judgeClock(clockSkew(before, seconds * 1000 + microseconds / 1000, now(), 0.001), 'The clock of Redis')
}
