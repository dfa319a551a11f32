import { expect, test } from 'vitest'
import { FRAUD_KNOWN_AT, type DatasetSchema } from '../table/dataset.ts'
import { DAY, emptyBatch, FRAUD_LABEL, HOUR, TRANSACTION, type EventBatch } from '../table/transaction.ts'
import type { RejectionKind } from './event-field.ts'
import { encodeEvent, eventDecoder, LARGEST_RECORD } from './event-json.ts'
import type { RecordBatch } from './event-log.ts'

const schema: DatasetSchema = {
  id: { column: 'ID', type: 'integer' },
  time: { column: 'AT', unit: 'timestamp' },
  amount: { column: 'AMOUNT', minorUnits: 2 },
  label: { column: 'FRAUD', delay: DAY },
  entities: [
    { name: 'card', column: 'CARD', type: 'string' },
    { name: 'terminal', column: 'TERMINAL', type: 'integer' },
  ],
  numeric: ['V1'],
  categorical: ['COUNTRY'],
}

/** A batch of records with these values, as a log would return it. */
function records(values: (string | Uint8Array)[]): RecordBatch {
  const bytes = values.map((value) => Buffer.from(value))
  const starts = bytes.map((_, i) => bytes.slice(0, i).reduce((sum, { length }) => sum + length, 0))
  return {
    topic: 'transactions',
    partition: 0,
    size: values.length,
    offsets: Float64Array.from(values, (_, i) => i),
    timestamps: new Float64Array(values.length),
    bytes: Buffer.concat(bytes),
    keyStart: Uint32Array.from(starts),
    valueStart: Uint32Array.from(starts),
    valueEnd: Uint32Array.from(starts, (start, i) => start + bytes[i].length),
  }
}

interface Row {
  kind: number
  id: number
  time: number
  amount: number
  card: string
  terminal: number
  v1: number
  country: string
  knownAt: number
}

function batchOf(rows: Row[]): EventBatch {
  const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 1, categorical: 1 }, rows.length)
  rows.forEach((row, i) => {
    batch.kind[i] = row.kind
    batch.ids[i] = row.id
    batch.time[i] = row.time
    batch.amount[i] = row.amount
    batch.entities[0][i] = row.card
    batch.entities[1][i] = row.terminal
    batch.numeric[0][i] = row.v1
    batch.categorical[0][i] = row.country
    batch.knownAt[i] = row.knownAt
  })
  return batch
}

const at = Date.UTC(2018, 3, 1, 12)
const transaction = {
  kind: TRANSACTION,
  id: 7,
  time: at,
  amount: 1999,
  card: 'c-é"1',
  terminal: 3,
  v1: -0.1 + 1e-17,
  country: 'CH',
  knownAt: Infinity,
}

test('what is encoded is decoded to the same bits, for transactions and labels', () => {
  // 0.29 × 100 is not 29 in floats, 2^36 is the bound, and −0 must keep its sign.
  const amounts = [0, 1, 29, 57, 4471, 123_456_789, 68_719_476_736]
  const rows = [
    ...amounts.map((amount, i) => ({ ...transaction, id: i, amount })),
    { ...transaction, v1: Number.NaN, country: '' },
    { ...transaction, v1: 5e-324 },
    { ...transaction, kind: FRAUD_LABEL, amount: 0, v1: 0, country: '', knownAt: at + 7 * DAY },
  ]
  const batch = batchOf(rows)
  const encoded = rows.map((_, row) => encodeEvent(schema, batch, row, 0))
  const { events, index, rejected } = eventDecoder(schema)(records(encoded.map(({ value }) => value)))
  expect(rejected).toEqual([])
  expect([...index.subarray(0, events.size)]).toEqual(rows.map((_, i) => i))
  expect(events.kind).toEqual(batch.kind)
  for (const column of ['ids', 'time', 'amount', 'knownAt'] as const) expect(events[column]).toEqual(batch[column])
  expect(events.entities).toEqual(batch.entities)
  // A label carries no attributes, so its row keeps whatever the column held before.
  expect(events.numeric[0].subarray(0, 9)).toEqual(batch.numeric[0].subarray(0, 9))
  expect(events.categorical[0].slice(0, 9)).toEqual(batch.categorical[0].slice(0, 9))
  expect(encoded[0].key).toBe(transaction.card)
})

test('an optional key may be null, absent or blank, in a label too; it is encoded as null', () => {
  const optional: DatasetSchema = {
    ...schema,
    entities: schema.entities.map((entity, e) => (e === 0 ? entity : { ...entity, optional: true })),
    missing: ['NA'],
  }
  const rows = [transaction, { ...transaction, kind: FRAUD_LABEL, knownAt: at + DAY }].map((row) => ({
    ...row,
    terminal: Number.NaN,
  }))
  const encoded = rows.map((_, row) => String(encodeEvent(optional, batchOf(rows), row, 0).value))
  for (const value of encoded) expect(JSON.parse(value)).toMatchObject({ CARD: transaction.card, TERMINAL: null })
  const values = [...encoded, ...[undefined, '', '  ', 'NA'].map((TERMINAL) => text({ TERMINAL }))]
  const { events, rejected } = eventDecoder(optional)(records([...values, text({ TERMINAL: 3 })]))
  expect(rejected).toEqual([])
  expect([...(events.entities[1] as Float64Array).subarray(0, events.size)]).toEqual([...values.map(() => NaN), 3])
  const found = [true, 'x', 1.5, -1, '\t'].map((TERMINAL) => text({ TERMINAL }))
  expect(eventDecoder(optional)(records(found)).events.size).toBe(0)
  expect(eventDecoder(optional)(records([text({ CARD: null }), text({ CARD: '' })])).events.size).toBe(0)
})

test('times may be ISO 8601, and seconds from an origin where the schema says so', () => {
  const value = (time: unknown): string =>
    JSON.stringify({ ID: 1, AT: time, AMOUNT: 1, CARD: 'c', TERMINAL: 1, V1: 0, COUNTRY: null })
  const instants = [value('2018-04-01T12:00:00Z'), value(at), value('2018-04-01T14:00:00+02:00')]
  const decoded = eventDecoder(schema)(records(instants))
  expect([...decoded.events.time.subarray(0, 3)]).toEqual([at, at, at])
  const seconds = eventDecoder({ ...schema, time: { column: 'AT', unit: 's', origin: at } })(records([value(90)]))
  expect(seconds.events.time[0]).toBe(at + 90_000)
})

const sound = { ID: 1, AT: at, AMOUNT: 10.5, CARD: 'c', TERMINAL: 1, V1: 0.5, COUNTRY: 'CH' }
const text = (change: Record<string, unknown>): string => JSON.stringify({ ...sound, ...change })
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

test.each<[string, string | Uint8Array, RegExp, RejectionKind]>([
  ['empty', '', /not JSON/, 'not_json'],
  ['cut short', '{"ID": 1', /not JSON/, 'not_json'],
  ['bytes that are not UTF-8', Uint8Array.of(0x7b, 0xff, 0xfe), /not JSON/, 'not_json'],
  [
    'a text whose bytes are not UTF-8',
    Buffer.from(text({ CARD: '~' })).map((byte) => (byte === 0x7e ? 0xff : byte)),
    /not JSON/,
    'not_json',
  ],
  ['a number', '5', /expected a JSON object, found 5$/, 'not_json'],
  ['a list of nothing', '[null, {}]', /expected a JSON object, found \[null,"…"\]$/, 'not_json'],
  [
    'a list for text',
    text({ CARD: Array.from({ length: 40 }, (_, n) => n) }),
    /^CARD: .*\[0,1,[0-9,]+…$/,
    'wrong_value',
  ],
  ['a number for a category', text({ COUNTRY: 4 }), /^COUNTRY: expected text, found 4$/, 'wrong_value'],
  ['a time in a list', text({ AT: ['2018-04-01'] }), /^AT: expected a time .*found \["2018-04-01"\]$/, 'wrong_value'],
  ['a label known at a truth', text({ fraud_known_at: true }), /^fraud_known_at: .*, found true$/, 'wrong_value'],
  ['a list', '[1]', /expected a JSON object, found \[1\]/, 'not_json'],
  ['null', 'null', /expected a JSON object/, 'not_json'],
  ['lists 6,000 deep', nested(6_000), /expected a JSON object, found \["…"\]/, 'not_json'],
  ['lists 6,000 deep in a field', text({}).replace('10.5', nested(6_000)), /AMOUNT: expected a number/, 'wrong_value'],
  ['a record too large', text({ CARD: 'x'.repeat(LARGEST_RECORD) }), /at most 524288 bytes, found 52/, 'too_large'],
  ['no id', text({ ID: undefined }), /ID: expected a whole number from 0 .*, found nothing/, 'missing_field'],
  [
    'an id with a fraction',
    text({ ID: 1.5 }),
    /ID: expected a whole number from 0 to 2\^53 − 1, found 1.5/,
    'wrong_value',
  ],
  ['an id beyond 2^53', text({ ID: 2 ** 60 }), /ID/, 'wrong_value'],
  ['text for a number', text({ AMOUNT: 'ten' }), /AMOUNT: expected a number, found "ten"/, 'wrong_value'],
  ['a negative amount', text({ AMOUNT: -1 }), /AMOUNT: expected an amount from 0/, 'wrong_value'],
  ['an amount below 0 by a billionth', text({}).replace('10.5', '-1e-9'), /AMOUNT: expected an amount/, 'wrong_value'],
  ['an amount too precise', text({ AMOUNT: 1.234 }), /AMOUNT: expected at most 2 decimals, found 1.234/, 'wrong_value'],
  ['a number that JSON has not', text({}).replace('10.5', '1e400'), /found Infinity$/, 'wrong_value'],
  [
    'a time in another form',
    text({ AT: '1/4/2018' }),
    /AT: expected .* to 2999, as a date such as .*T12/,
    'wrong_value',
  ],
  ['an amount that overflows', text({ AMOUNT: 1e300 }), /AMOUNT: expected an amount/, 'wrong_value'],
  ['a number for text', text({ CARD: 4 }), /CARD: expected text, found 4/, 'wrong_value'],
  ['an empty key', text({ CARD: '' }), /CARD: expected text that is not empty, found ""/, 'wrong_value'],
  [
    'a key too long',
    text({ CARD: 'x'.repeat(300) }),
    /CARD: expected at most 256 characters, found "x+…\s\(300 characters\)/,
    'wrong_value',
  ],
  ['half a surrogate pair', text({ CARD: '\ud800' }), /CARD: expected well-formed text/, 'wrong_value'],
  ['half a pair in a category', text({ COUNTRY: 'C\udc00' }), /COUNTRY: expected well-formed text/, 'wrong_value'],
  ['a blank in front of a key', text({ CARD: ' c' }), /CARD: expected text without blanks/, 'wrong_value'],
  ['a negative key', text({ TERMINAL: -1 }), /TERMINAL: expected a whole number from 0/, 'wrong_value'],
  [
    'a key of −0',
    text({}).replace('"TERMINAL":1', '"TERMINAL":-0'),
    /TERMINAL: expected a whole number/,
    'wrong_value',
  ],
  [
    'a time in the wrong unit',
    text({ AT: at * 1000 }),
    /AT: expected a time from 1970 to 2999, found \d+ \(counted in us, it would be/,
    'wrong_value',
  ],
  ['a date in the order of some country', text({ AT: '5/4/2018' }), /AT: expected a time/, 'wrong_value'],
  ['a day that is none', text({ AT: '2018-02-29' }), /AT: expected a time/, 'wrong_value'],
  ['a label known in no year', text({ [FRAUD_KNOWN_AT]: 1e300 }), /fraud_known_at: expected a time/, 'wrong_value'],
  [
    'a time that is none',
    text({ AT: 'yesterday' }),
    /^AT: expected a time from 1970 to 2999, as a date such as .*, found "yesterday"$/,
    'wrong_value',
  ],
  ['an attribute missing', text({ V1: undefined }), /V1: expected a number, found nothing/, 'missing_field'],
  [
    'a schema of a newer version',
    text({ schema_version: 2, V1: undefined }),
    /schema_version: expected 1, found 2: .*newer/,
    'newer_schema',
  ],
  [
    'a schema version that is none',
    text({ schema_version: 'x' }),
    /schema_version: expected 1, found "x"/,
    'newer_schema',
  ],
  [
    'a label without its instant',
    text({ [FRAUD_KNOWN_AT]: 'soon' }),
    /^fraud_known_at: expected a time from 1970 to 2999, as a date such as .*, found "soon"$/,
    'wrong_value',
  ],
])('%s is rejected with the reason, and its neighbours are read', (_, bad, reason, kind) => {
  const { events, index, rejected } = eventDecoder(schema)(records([text({ ID: 1 }), bad, text({ ID: 2 })]))
  expect(rejected).toEqual([{ index: 1, kind, reason: expect.stringMatching(reason) }])
  expect([...(events.ids as Float64Array).subarray(0, events.size)]).toEqual([1, 2])
  expect([...index.subarray(0, events.size)]).toEqual([0, 2])
})

test(
  'fields of a later time pass, a version that says what we know passes, ' +
    'and a column may have the name of the version',
  () => {
    const { events, rejected } = eventDecoder(schema)(
      records([text({ ID: 1, brand_new: { deep: [1] }, schema_version: 1 }), text({ ID: 2, FIELD: null })]),
    )
    expect([rejected, events.size]).toEqual([[], 2])
    const own = eventDecoder({ ...schema, numeric: ['V1', 'schema_version'] })(records([text({ schema_version: 2 })]))
    expect([own.rejected, own.events.numeric[1][0]]).toEqual([[], 2])
  },
)

test('a time without an offset is UTC, and an amount of −0 is 0, whatever the process is set to', () => {
  const zone = process.env['TZ']
  process.env['TZ'] = 'America/New_York'
  const { events } = eventDecoder(schema)(records([text({ AT: '2018-03-25 02:30:00' }).replace('10.5', '-0')]))
  if (zone === undefined) delete process.env['TZ']
  else process.env['TZ'] = zone
  expect(events.time[0]).toBe(Date.UTC(2018, 2, 25, 2, 30))
  expect(events.amount[0]).toBe(0)
})

test('what every object inherits is no field of a record', () => {
  const decode = eventDecoder({ ...schema, categorical: ['constructor'], numeric: ['__proto__'] })
  const bare = text({})
  const { rejected } = decode(
    records([bare, bare.replace('}', ',"__proto__":1}'), bare.replace('}', ',"constructor":"x"}')]),
  )
  expect(rejected.map(({ kind }) => kind)).toEqual(Array.from({ length: 3 }, () => 'missing_field'))
  const both = bare.replace('}', ',"__proto__":1,"constructor":"x"}')
  const { events, rejected: none } = decode(records([both]))
  expect([none, events.numeric[0][0], events.categorical[0][0]]).toEqual([[], 1, 'x'])
})

test('an event further ahead of its record than allowed is rejected; a record without a timestamp says nothing', () => {
  const batch = records([0, HOUR, HOUR + 1, 365 * DAY].map((ahead) => text({ AT: at + ahead })))
  const decode = eventDecoder(schema)
  expect(decode(batch).rejected).toEqual([])
  batch.timestamps.fill(at)
  const reason = expect.stringMatching(/^AT: expected a time until 2018-04-01T13:00:00.000Z, .*scorer\.maxAhead/)
  expect(decode(batch).rejected).toEqual([2, 3].map((index) => ({ index, kind: 'ahead_of_time', reason })))
  expect(eventDecoder(schema, { maxAhead: 365 * DAY })(batch).rejected).toEqual([])
})

test('what the log itself knows of a record’s append bounds its event, whatever timestamp the producer gave', () => {
  const [sane, ahead, far] = [at, at + 2 * HOUR, Date.UTC(2100, 0)]
  const cases: [event: number, timestamp: number, appended: number, taken: boolean][] = [
    [sane, 0, at, true],
    [ahead, 0, at, false],
    [far, 0, at, false],
    [ahead, far, at, false],
    [far, far, at, false],
    [sane, far, at, true],
    [ahead, -1, at, false],
    [far, Number.NaN, at, false],
    [ahead, at, far, false],
    // A log that does not know adds nothing. One that knows of no time at all lets nothing pass.
    [far, 0, Infinity, true],
    [ahead, at, Infinity, false],
    [sane, -1, -1, false],
    [sane, 0, 0, false],
  ]
  const batch = records(cases.map(([event]) => text({ AT: event })))
  batch.timestamps.set(cases.map(([, timestamp]) => timestamp))
  batch.appended = Float64Array.from(cases, ([, , appended]) => appended)
  const { index, rejected } = eventDecoder(schema)(batch)
  const taken = cases.flatMap(([, , , taken], i) => (taken ? [i] : []))
  expect([...index.subarray(0, taken.length)]).toEqual(taken)
  expect(rejected.map(({ kind }) => kind)).toEqual(rejected.map(() => 'ahead_of_time'))
  expect(rejected).toHaveLength(cases.length - taken.length)
  expect(rejected.at(-1)?.reason).toMatch(/^AT: found 2018.* timestamp is none \(0\).*message\.timestamp\.type/)
})

test('the columns are reused without a trace of the batch before', () => {
  const decode = eventDecoder(schema)
  decode(records([text({ ID: 1, [FRAUD_KNOWN_AT]: at }), text({ ID: 2 })]))
  const { events } = decode(records([text({ ID: 3, V1: null })]))
  expect(events.size).toBe(1)
  expect(events.kind[0]).toBe(TRANSACTION)
  expect(events.knownAt[0]).toBe(Infinity)
  expect(events.numeric[0][0]).toBeNaN()
})

/** The first row's columns of a record that must be accepted, or the reason for its rejection. */
function decodedBy(of: DatasetSchema, change: Record<string, unknown>): unknown {
  const { events, rejected } = eventDecoder(of)(records([text(change)]))
  if (rejected.length > 0) return rejected[0].reason
  const { time, amount, numeric, categorical, knownAt, kind } = events
  if (kind[0] === FRAUD_LABEL) return { knownAt: knownAt[0] }
  return { time: time[0], amount: amount[0], v1: numeric[0][0], country: categorical[0][0] }
}
const plain = { time: at, amount: 1050, v1: 0.5, country: 'CH' }

test('texts that are declared to be missing are missing in every column, and only where they are declared', () => {
  const declared = { ...schema, missing: ['?', 'NA'] }
  expect(decodedBy(declared, { V1: '?', COUNTRY: 'NA' })).toEqual({ ...plain, v1: Number.NaN, country: '' })
  expect(decodedBy(declared, { V1: null, COUNTRY: null })).toEqual({ ...plain, v1: Number.NaN, country: '' })
  expect(decodedBy(declared, { COUNTRY: 'N/A' })).toEqual({ ...plain, country: 'N/A' })
  expect(decodedBy(declared, { AMOUNT: '?' })).toBe('AMOUNT: expected a number, found null')
  expect(decodedBy(declared, { CARD: 'NA' })).toBe('CARD: expected text, found null')
  expect(decodedBy(schema, { COUNTRY: '?' })).toEqual({ ...plain, country: '?' })
  expect(decodedBy(schema, { V1: '?' })).toBe('V1: expected a number, found "?"')
})

test('numbers may be text where their form is declared, and nowhere else', () => {
  const declared: DatasetSchema = { ...schema, numbers: { decimal: ',', thousands: '.' } }
  expect(decodedBy(declared, { AMOUNT: '1.234,5', V1: ' -1,25 ' })).toEqual({ ...plain, amount: 123_450, v1: -1.25 })
  expect(decodedBy(declared, { AMOUNT: 10.5, V1: 0.5 })).toEqual(plain)
  for (const blank of ['', '  ']) expect(decodedBy(declared, { V1: blank })).toEqual({ ...plain, v1: Number.NaN })
  expect(decodedBy(declared, { V1: 'abc' })).toBe('V1: expected a number, found "abc"')
  expect(decodedBy(declared, { AMOUNT: '' })).toBe('AMOUNT: expected a number, found ""')
  expect(decodedBy(schema, { V1: '' })).toBe('V1: expected a number, found ""')
  expect(decodedBy(schema, { V1: '1' })).toBe('V1: expected a number, found "1"')
})

test('counted times may be text where the form of numbers is declared; written times are never counts', () => {
  const hours: DatasetSchema = { ...schema, time: { column: 'AT', unit: 'h', origin: at } }
  const german: DatasetSchema = { ...hours, numbers: { decimal: ',', thousands: '.' } }
  expect(decodedBy(german, { AT: '1.000' })).toEqual({ ...plain, time: at + 1000 * HOUR })
  for (const of of [hours, german]) {
    expect(decodedBy(of, { AT: 2 })).toEqual({ ...plain, time: at + 2 * HOUR })
    expect(decodedBy(of, { AT: '2018-04-01T12:00Z' })).toEqual(plain)
    expect(decodedBy(of, { AT: null })).toBe('AT: expected a time from 1970 to 2999, found null')
  }
  expect(decodedBy(hours, { AT: '2' })).toMatch(/^AT: expected a time from 1970 to 2999, as .*, found "2"$/)
  const written: DatasetSchema = { ...schema, numbers: { decimal: '.' } }
  expect(decodedBy(written, { AT: '1522584000000' })).toMatch(/^AT: expected a time/)
})

test('the first instant of 1970 is a time, of transactions and of labels', () => {
  expect(decodedBy(schema, { AT: 0 })).toEqual({ ...plain, time: 0 })
  for (const known of [0, '1970-01-01']) expect(decodedBy(schema, { fraud_known_at: known })).toEqual({ knownAt: 0 })
  expect(decodedBy(schema, { fraud_known_at: '2018-04-01 12:00:00' })).toEqual({ knownAt: at })
})

test('a value is shown whole up to sixty characters', () => {
  const shown = (length: number): unknown => decodedBy(schema, { V1: 'x'.repeat(length) })
  expect(shown(60)).toBe(`V1: expected a number, found "${'x'.repeat(60)}"`)
  expect(shown(61)).toBe(`V1: expected a number, found "${'x'.repeat(60)}… (61 characters)`)
})

test('a card number is refused where a token belongs, and shown nowhere', () => {
  const card = { name: 'card', column: 'CARD', type: 'string' as const }
  const tokens: DatasetSchema = { ...schema, entities: [{ ...card, token: true }] }
  const number = '4111 1111 1111 1111'
  expect(decodedBy(tokens, { CARD: number })).toBe(
    'CARD: expected a card token, since its dataset says `token: true`, found "…1111"',
  )
  expect(decodedBy({ ...schema, entities: [card] }, { CARD: number, V1: number })).toBe(
    'V1: expected a number, found "…1111"',
  )
})

test('a record of the largest size is read', () => {
  const size = text({ more: '' }).length
  const sized = (bytes: number): string => text({ more: 'x'.repeat(bytes - size) })
  const { rejected } = eventDecoder(schema)(records([sized(LARGEST_RECORD), sized(LARGEST_RECORD + 1)]))
  expect(rejected.map(({ index, kind }) => [index, kind])).toEqual([[1, 'too_large']])
})

test('without an id column records carry transaction_id, and without entities it is their key', () => {
  const bare: DatasetSchema = {
    time: { column: 'AT', unit: 's' },
    amount: { column: 'AMOUNT', minorUnits: 2 },
    entities: [],
    numeric: [],
    categorical: [],
  }
  const batch = emptyBatch({ id: 'integer', entities: [], numeric: 0, categorical: 0 }, 1)
  batch.ids[0] = 77
  batch.time[0] = at
  batch.amount[0] = 250
  const record = encodeEvent(bare, batch, 0, 5)
  expect(record).toEqual({ key: '77', value: '{"transaction_id":77,"AT":1522584000,"AMOUNT":2.5}', timestamp: 5 })
  const { events, rejected } = eventDecoder(bare)(records([String(record.value), '{"AT":1,"AMOUNT":1}']))
  expect([events.size, events.ids[0], events.amount[0]]).toEqual([1, 77, 250])
  expect(rejected).toEqual([{ index: 1, kind: 'missing_field', reason: expect.stringMatching(/^transaction_id: /) }])
})

test('an attribute that is missing is written as null', () => {
  const batch = batchOf([{ ...transaction, v1: Number.NaN, country: '' }])
  const { value } = encodeEvent(schema, batch, 0, 0)
  expect(JSON.parse(String(value))).toMatchObject({ V1: null, COUNTRY: null })
})

test('an entity’s column may have the name of the version', () => {
  const own: DatasetSchema = {
    ...schema,
    entities: [...schema.entities, { name: 'version', column: 'schema_version', type: 'integer' }],
  }
  expect(eventDecoder(own)(records([text({ schema_version: 2 })])).rejected).toEqual([])
})

test('where events have no times, a record whose own timestamp is none is refused as others are', () => {
  const untimed: DatasetSchema = { ...schema, time: 'none' }
  const end = Date.UTC(3000, 0)
  const timestamps = [1, end - 1, end, 9e15, 2 ** 63, 0, -1]
  const batch = records(timestamps.map(() => text({})))
  const { events, index, rejected } = eventDecoder(untimed)({ ...batch, timestamps: Float64Array.from(timestamps) })
  expect([[...index.subarray(0, events.size)], [...events.time.subarray(0, events.size)]]).toEqual([
    [0, 1],
    [1, end - 1],
  ])
  expect(rejected.map((rejection) => [rejection.index, rejection.kind])).toEqual([
    [2, 'wrong_value'],
    [3, 'wrong_value'],
    [4, 'wrong_value'],
    [5, 'missing_field'],
    [6, 'missing_field'],
  ])
  expect(rejected[1].reason).toBe(
    'expected a record whose timestamp is a time from 1970 to 2999, since its dataset has no times, ' +
      'found 9000000000000000',
  )
  // The moment at which the log has it comes first where the log knows one.
  const logged = {
    ...batch,
    timestamps: Float64Array.from(timestamps),
    appended: Float64Array.from(timestamps, () => 5),
  }
  expect(eventDecoder(untimed)(logged).rejected).toEqual([])
})
