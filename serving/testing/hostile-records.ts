import type { NewRecord } from '../../datasets/log/event-log.ts'
import { randomStream, type Random } from '../../datasets/random/random.ts'

/** Hostile records have ids and keys from here on, so that the valid ones among them share no history with others. */
export const STRANGERS = 10_000_000

const COLUMNS = ['TRANSACTION_ID', 'TX_DATETIME', 'CUSTOMER_ID', 'TERMINAL_ID', 'TX_AMOUNT', 'fraud_known_at']

/** Values that a field may hold, as JSON text: of other types, beyond all bounds, not well formed, deep or long. */
const VALUES: (string | ((random: Random) => string))[] = [
  ['null', 'true', '[]', '{}', '""', '" 7"', '"7"', '-1', '-0', '1.5', '1e400', '-1e-9', '1e-320', '5e12', '5e15'],
  ['9007199254740993', '1526779940', '"5/4/2018"', '"2018-02-29"', '"2018-04-01 24:00"', '"2999-01-01"', '"NaN"'],
  [String.raw`"\ud800"`, String.raw`"\udc00x"`, String.raw`"\u0000"`, '"__proto__"', '{"__proto__":{"x":1}}'],
  (random: Random) => nested(1 + random.integer(20_000)),
  (random: Random) => `"${'x'.repeat(random.integer(5_000))}"`,
  (random: Random) => '9'.repeat(1 + random.integer(400)),
].flat()

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth)
}

/** Whole records that are no event at all. */
const RECORDS: (string | ((random: Random) => string | Uint8Array))[] = [
  ...' ,null,"x",7,[1],{,{},\ufeff{}'.split(','),
  '',
  (random) => nested(1 + random.integer(50_000)),
  (random) => `${'{"a":'.repeat(6_000)}1${'}'.repeat(6_000 - random.integer(2))}`,
  (random) => Uint8Array.from({ length: random.integer(300) }, () => random.integer(256)),
  (random) => Buffer.from('{"TRANSACTION_ID":1}', random.integer(2) === 0 ? 'utf16le' : 'utf8'),
]

function pick<T>(random: Random, choices: readonly (string | ((random: Random) => T))[]): string | T {
  const choice = choices[random.integer(choices.length)]
  return typeof choice === 'string' ? choice : choice(random)
}

/** One record in so many is a bomb: larger than what is read, of bytes that grow most when they are escaped. */
const BOMB_EVERY = 2_000
const BOMB_BYTES = 800_000

/** A valid transaction of a stranger, as JSON text by column. */
function stranger(n: number, time: number): Map<string, string> {
  const key = String(STRANGERS + (n % 7))
  const fields = {
    TRANSACTION_ID: String(STRANGERS + n),
    TX_DATETIME: String(time),
    CUSTOMER_ID: key,
    TERMINAL_ID: key,
  }
  return new Map(Object.entries({ ...fields, TX_AMOUNT: String((n % 10_000) / 100) }))
}

function textOf(fields: Map<string, string>): string {
  return `{${[...fields].map(([column, value]) => `${JSON.stringify(column)}:${value}`).join(',')}}`
}

/** Changes a valid record in one place: a value, a field too few or twice, a reserved name, or bytes of its text. */
function mutated(random: Random, n: number, time: number): string | Uint8Array {
  const fields = stranger(n, time)
  const column = COLUMNS[random.integer(COLUMNS.length)]
  const value = pick(random, VALUES)
  switch (random.integer(6)) {
    case 0:
      fields.delete(column)
      return textOf(fields)
    case 1:
      return textOf(fields).replace(/\}$/, `,${JSON.stringify(column)}:${value}}`)
    case 2:
      return textOf(fields.set(['__proto__', 'constructor', 'toString', 'note'][random.integer(4)], value))
    case 3: {
      const bytes = Buffer.from(textOf(fields))
      for (let flips = 1 + random.integer(4); flips > 0; flips--)
        bytes[random.integer(bytes.length)] = random.integer(256)
      return bytes.subarray(0, 1 + random.integer(bytes.length))
    }
    default:
      return textOf(fields.set(column, value))
  }
}

/** Whether a record, by chance, is about a key that the other transactions have. */
function touchesOthers(value: string | Uint8Array): boolean {
  try {
    const { CUSTOMER_ID, TERMINAL_ID } = JSON.parse(Buffer.from(value).toString()) as Record<string, unknown>
    return [CUSTOMER_ID, TERMINAL_ID].some((key) => typeof key === 'number' && key < STRANGERS)
  } catch {
    return false
  }
}

/** `count` records that are malformed or hostile, the same for a seed. A few are valid after all. */
export function hostileRecords(seed: number, count: number, time: number): NewRecord[] {
  const random = randomStream(seed)
  return Array.from({ length: count }, (_, n): NewRecord => {
    let value = random.integer(5) === 0 ? pick(random, RECORDS) : mutated(random, n, time)
    if (touchesOthers(value)) value = 'touches others'
    if (n % BOMB_EVERY === 7) value = new Uint8Array(BOMB_BYTES).fill(1)
    const key = Uint8Array.from({ length: random.integer(20) }, () => random.integer(256))
    const timestamp = ODD_TIMESTAMPS[random.integer(20)] ?? time
    return { value, timestamp, partition: 0, ...(key.length > 0 && { key }) }
  })
}

/** Timestamps that no record was appended at: none, before 1970, and far ahead. */
export const ODD_TIMESTAMPS = [0, -1, -4e12, Date.UTC(2100, 0)]
