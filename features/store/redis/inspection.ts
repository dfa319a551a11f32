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

const OLDEST_MAJOR = 6
/** More of the memory than this in use is told: a load of a new base needs room beside the old one. */
const FULL = 0.8
/** What was made for a trial goes by itself should we die over it. */
const TRIAL_MS = 60_000

/**
 * Looks at a server as the online store will use it: version and latency, every command the store sends, tried on keys of its own
 * that are removed, how it keeps what is written, whether it may forget, its memory and its clock.
 */
export async function inspectRedis(url: string, { now, id, tell }: Inspection): Promise<Finding[]> {
  const address = redisAddress(url)
  await using connection = await RedisConnection.open(address, tell)
  const info: Record<string, string> = {}
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

/** `name:value` a line, under headings that begin with #. */
function infoFields(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split(/\r?\n/)
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

function judgeVersion(shown: string, info: Record<string, string>): string | Judgement {
  const version = info['redis_version'] ?? 'of an unknown version'
  if (Number.parseInt(version, 10) < OLDEST_MAJOR)
    return broken(
      `${shown}: Redis ${version}, fd needs ${OLDEST_MAJOR} or later. Install a later one, or run: fd services up redis --install`,
    )
  return `${shown}: Redis ${version}, ${info['redis_mode'] ?? 'standalone'}`
}

/** Each command the store sends, on two keys of one hash tag. @throws UserError in the server's words, which name the command it refuses. */
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
    if (read.some((value) => value !== '3'))
      throw new UserError(
        `${connection.address.shown} gave back ${JSON.stringify(read)} for what was just written. Another server may stand between; use the address of Redis itself.`,
      )
    await connection.run((redis) => redis.eval("return redis.call('GET', KEYS[1])", 1, one))
    await connection.run((redis) => redis.scan('0', 'MATCH', `${tag}*`, 'COUNT', 1))
    await connection.run((redis) => redis.exists(one))
    await connection.run((redis) => redis.unlink(one, other))
  } finally {
    await connection.run((redis) => redis.del(one, other))
  }
  return 'wrote, read and removed keys, in a MULTI and by a script too'
}

/** `appendfsync`, undefined where CONFIG is not for us, as with hosted servers. */
async function fsyncPolicy(connection: RedisConnection): Promise<string | undefined> {
  try {
    const [, value] = await connection.run(async (redis) => (await redis.config('GET', 'appendfsync')) as string[])
    return value
  } catch (error) {
    // NOPERM comes as a UserError, a command that was renamed as the server's own.
    if (error instanceof UserError || /unknown command/i.test(String(error))) return undefined
    throw error
  }
}

/** What of the settings loses state, or drops it in silence; each with the command that mends it. */
function judgeSettings(info: Record<string, string>, fsync: string | undefined): Judgement[] {
  const faults: Judgement[] = []
  const policy = info['maxmemory_policy'] ?? ''
  if (info['aof_enabled'] === '0')
    faults.push(
      warning(
        'no append-only file: what was written since the last snapshot is gone with the server. Run: redis-cli CONFIG SET appendonly yes, then redis-cli CONFIG REWRITE',
      ),
    )
  else if (fsync === 'no')
    faults.push(
      warning(
        'appendfsync no: a power cut loses what the system has not written yet, up to half a minute. Run: redis-cli CONFIG SET appendfsync everysec',
      ),
    )
  if (info['aof_last_write_status'] === 'err')
    faults.push(broken('the append-only file cannot be written. Free the disk, or see its log: fd services logs redis'))
  if (policy.startsWith('allkeys-')) {
    const detail = `maxmemory-policy ${policy} forgets customers when memory is short, in silence. Run: redis-cli CONFIG SET maxmemory-policy noeviction`
    faults.push(
      info['maxmemory'] === '0'
        ? warning(`${detail}. No maxmemory is set, so nothing is forgotten yet`)
        : broken(detail),
    )
  } else if (policy.startsWith('volatile-')) {
    faults.push(
      warning(
        `maxmemory-policy ${policy} drops the leases of a backfill under way when memory is short, which stops it. Run: redis-cli CONFIG SET maxmemory-policy noeviction`,
      ),
    )
  }
  return faults
}

function memoryOf(info: Record<string, string>): { used: number; limit: number; of: string } {
  const [maxmemory, system] = [Number(info['maxmemory'] ?? 0), Number(info['total_system_memory'] ?? 0)]
  return {
    used: Number(info['used_memory'] ?? 0),
    limit: maxmemory > 0 ? maxmemory : system,
    of: maxmemory > 0 ? 'maxmemory' : "the machine's memory",
  }
}

function describeMemory(info: Record<string, string>): string {
  const { used, limit, of } = memoryOf(info)
  return `${mebibytes(used)} MiB in use, ${((100 * used) / limit).toFixed(0)} % of ${of}`
}

function judgeMemory(info: Record<string, string>): Judgement[] {
  const { used, limit } = memoryOf(info)
  if (!(used > FULL * limit)) return []
  return [
    warning(
      `${describeMemory(info)}: a backfill needs room for a second base. Raise it (redis-cli CONFIG SET maxmemory ${Math.ceil((2 * used) / 2 ** 20)}mb), or remove other data`,
    ),
  ]
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}

async function clock(connection: RedisConnection, now: () => number): Promise<string | Judgement> {
  const before = now()
  const [seconds, microseconds] = await connection.run((redis) => redis.time())
  return judgeClock(
    clockSkew(before, Number(seconds) * 1000 + Number(microseconds) / 1000, now(), 0.001),
    'The clock of Redis',
  )
}
