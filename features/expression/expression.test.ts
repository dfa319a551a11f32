import { expect, test } from 'vitest'
import { batchShape, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'
import { EventScope } from './event-scope.ts'
import { compile, faultOf } from './expression.ts'
import { FUNCTIONS } from './functions.ts'
import { haversine } from './haversine.ts'
import { maskOf } from './mask.ts'

const schema: DatasetSchema = {
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'price', minorUnits: 2 },
  entities: [
    { name: 'card', column: 'card_number', type: 'string' },
    { name: 'terminal', column: 'terminal_id', type: 'integer' },
    { name: 'card_terminal', of: ['card', 'terminal'] },
  ],
  numeric: ['x', 'y', 'V-1', 'type'],
  categorical: ['s', 't', 'card.type'],
}

interface Row {
  amount: number
  time: number
  x: number
  y: number
  s: string
  t: string
  terminal: number
}

function batchOf(rows: readonly Row[]): EventBatch {
  const batch = emptyBatch(batchShape(schema), rows.length)
  batch.amount.set(rows.map(({ amount }) => amount * 100))
  batch.time.set(rows.map(({ time }) => time))
  batch.entities[0] = rows.map(({ s }) => s)
  batch.entities[1] = Float64Array.from(rows, ({ terminal }) => terminal)
  batch.entities[2] = rows.map(({ s, terminal }) => JSON.stringify([s, terminal]))
  batch.numeric = [rows.map(({ x }) => x), rows.map(({ y }) => y), rows.map(({ x }) => x), rows.map(({ y }) => y)].map(
    (column) => Float64Array.from(column),
  )
  batch.categorical = [rows.map(({ s }) => s), rows.map(({ t }) => t), rows.map(({ t }) => t)]
  return batch
}

const ROW: Row = { amount: 12.5, time: Date.UTC(2024, 6, 1, 22, 30), x: 3, y: -4, s: 'DE', t: 'fr', terminal: 7 }
const MISSING: Row = { ...ROW, x: Number.NaN, s: '', terminal: Number.NaN }

function valueOf(expression: string, row: Row = ROW): number {
  const scope = new EventScope(schema)
  const { values } = compile(expression, scope, 'here')
  scope.batch = batchOf([row])
  return values(1)[0]
}

test.each([
  ['amount', 12.5],
  ['1 / 2', 0.5],
  ['amount + 1', 13.5],
  ['2 * x - y / 2', 8],
  ['-7 % 3', -1],
  ['x > 2 && s == "DE"', 1],
  ['!(x > 2)', 0],
  ['x in [1, 2, 3] ? 10 : 20', 10],
  ['y in [-4]', 1],
  ['s in ["FR", "DE"]', 1],
  ['terminal == 7', 1],
  ['card == s', 1],
  [`card_terminal == '["DE",7]'`, 1],
  ['s + t == "DEfr"', 1],
  ['type', -4],
  ['column("V-1") + column("type")', -1],
  ['column("card.type") == t', 1],
  ['column("card_number") == card', 1],
  ['hour(time)', 22],
  ['hour(time, "Europe/Berlin")', 0],
  ['weekday(time)', 1],
  ['weekday(time, "Asia/Tokyo")', 2],
  ['day_of_month(time, "America/New_York")', 1],
  ['timestamp("2024-07-01T22:30:00Z") == time', 1],
  ['timestamp("1969-12-31 23:59:59")', -1000],
  ['log1p(x)', Math.log1p(3)],
  ['sqrt(x * 3)', 3],
  ['abs(y)', 4],
  ['min(x, y, 1)', -4],
  ['max(x, y, 5, 4)', 5],
  ['clamp(amount, 0, 10)', 10],
  ['starts_with(s, "D")', 1],
  ['ends_with(s, "D")', 0],
  ['contains(s, "E")', 1],
  ['lower(s) == "de"', 1],
  ['coalesce(x, 1)', 3],
  ['is_missing(x)', 0],
  ['true ? x : y', 3],
  ['0 * y', 0],
  ['x // three\n + 1', 4],
])('%s is %d', (expression, value) => {
  expect(valueOf(expression)).toBe(value)
})

test.each([
  ['x + 1', Number.NaN],
  ['s == "DE"', Number.NaN],
  ['s != "DE"', Number.NaN],
  ['t != s', Number.NaN],
  ['t == s', Number.NaN],
  ['t < s', Number.NaN],
  ['t <= s', Number.NaN],
  ['y != x', Number.NaN],
  ['s in ["DE"]', Number.NaN],
  ['x in [1]', Number.NaN],
  ['x == x', Number.NaN],
  ['!(x > 1)', Number.NaN],
  ['x > 1 && y > 0', 0],
  ['y > 0 && x > 1', 0],
  ['x > 1 && y < 0', Number.NaN],
  ['x > 1 || y < 0', 1],
  ['y < 0 || x > 1', 1],
  ['x > 1 || y > 0', Number.NaN],
  ['x > 1 ? 1 : 2', Number.NaN],
  ['y < 0 ? 1 : x', 1],
  ['coalesce(x, terminal, y)', -4],
  ['coalesce(s, "none") == "none"', 1],
  ['coalesce(x > 1, false)', 0],
  ['coalesce(x, terminal)', Number.NaN],
  ['is_missing(x) && is_missing(s) && is_missing(x > 1)', 1],
  ['max(x, 5)', Number.NaN],
  ['clamp(5, x, 6)', Number.NaN],
  ['hour(x)', Number.NaN],
  ['starts_with(s, "D")', Number.NaN],
  ['starts_with(t, s)', Number.NaN],
  ['lower(s) == "de"', Number.NaN],
  ['s + t == "fr"', Number.NaN],
])('with x, s and terminal missing, %s is %d', (expression, value) => {
  expect(valueOf(expression, MISSING)).toBe(value)
})

test.each([
  '1 / 0',
  '0 / 0',
  'x % 0',
  '1e300 * 1e300',
  '1e308 + 1e308',
  '1e308 - -1e308',
  'sqrt(y)',
  'log1p(-1)',
  'log1p(-2)',
  'clamp(x, 2, 1)',
  'haversine(91, 0, 0, 0)',
  'haversine(0, 0, -91, 0)',
  'hour(1e300)',
  'timestamp(s)',
  'timestamp("2024-02-30")',
  'timestamp("0024-02-20")',
  '1 / 0 > 5',
])('%s is missing', (expression) => {
  expect(valueOf(expression)).toBeNaN()
})

test('what is missing has the bits of one constant, and no value is −0', () => {
  const bits = (value: number): bigint => new BigUint64Array(Float64Array.of(value).buffer)[0]
  for (const expression of ['0 / 0', '-(0 / 0)', 'x % 0', 'sqrt(-1)']) {
    expect(bits(valueOf(expression))).toBe(bits(Number.NaN))
  }
  expect(Object.is(valueOf('0 * y'), 0)).toBe(true)
})

test('kilometres of a few distances that are known', () => {
  expect(haversine(52.52, 13.405, 48.8566, 2.3522)).toBeCloseTo(877.46, 1)
  expect(haversine(0, 0, 0, 180)).toBeCloseTo(Math.PI * 6371.0088, 6)
  expect(haversine(0, -180, 0, 540)).toBeCloseTo(0, 6)
  expect(haversine(90, 0, -90, 77)).toBeCloseTo(Math.PI * 6371.0088, 6)
  expect(valueOf('haversine(52.52, 13.405, 48.8566, 2.3522)')).toBe(haversine(52.52, 13.405, 48.8566, 2.3522))
})

const NAMES = 'amount, time, x, y, V-1, type, s, t, card.type, card, terminal, card_terminal'

function fault(expression: string): string {
  try {
    valueOf(expression)
    return 'no fault'
  } catch (error) {
    return String(error)
  }
}

test.each([
  ['amuont > 1', 'there is no amuont. Did you mean amount?', '^'],
  ['x + price', 'here the column price is called amount', '    ^'],
  ['hour(at)', 'here the column at is called time', '     ^'],
  ['terminal_id == 1', 'here the column terminal_id is called terminal', '^'],
  ['V-1 > 0', 'there is no V. Did you mean column("V-1")?', '^'],
  ['card.type == "x"', 'values have no fields. For the column write column("card.type")', '^'],
  ['V_1 > 0', 'there is no V_1. Did you mean column("V-1")?', '^'],
  ['s == FR', `there is no FR. There are: ${NAMES}. A text stands in quotes: "FR"`, '     ^'],
  ['s + 1', '+ takes two numbers or two texts, and these are a text and a number', '  ^'],
  ['x * (s)', '* takes two numbers, and these are a number and a text', '  ^'],
  ['x && y', '&& takes two conditions, and these are a number and a number', '  ^'],
  ['x == s', '== takes two values of one type, and these are a number and a text', '  ^'],
  ['1 < x < 3', '< takes two values of one type, and these are a condition and a number', '      ^'],
  ['!x', '! takes a condition, and this is a number', ' ^'],
  ['-s == s', '- takes a number, and this is a text', ' ^'],
  ['x > 1 ? 1 : s', '? gives one of two values of one type, and these are a number and a text', '          ^'],
  ['x ? 1 : 2', '? takes a condition, and this is a number', '^'],
  ['s', 'this is a text; a feature is a number or a condition', '^'],
  ['s == ""', 'an empty text is a missing one: write is_missing(…)', '     ^'],
  ['sqr(x)', 'there is no function sqr. Did you mean sqrt?', '^'],
  ['1 + matches(s, "a+")', `there is no function matches. There are: ${Object.keys(FUNCTIONS).join(', ')}`, '    ^'],
  ['sqrt(s)', 'sqrt takes one number, and this is a text', '^'],
  ['max(x)', 'max takes two or more numbers, and this is a number', '^'],
  ['max()', 'max takes two or more numbers, and this is nothing', '^'],
  ['coalesce(x, s)', 'coalesce takes two or more values of one type, and this is a number, a text', '^'],
  ['hour(time, "Berlin")', 'there is no time zone "Berlin". One is "Europe/Berlin"', '^'],
  ['hour(time, s)', 'hour takes a zone that is written out: "Europe/Berlin"', '^'],
  ['x in y', 'in takes a list, as in country in ["DE", "FR"]', '     ^'],
  ['x in [1, y]', 'a list has values that are written out', '         ^'],
  ['x in [-y]', 'a list has values that are written out', '      ^'],
  ['x in [-true]', 'a list has values that are written out', '      ^'],
  ['x in ["a"]', 'this is a text, and the value before in is a number', '      ^'],
  ['x in []', 'the list is empty', '     ^'],
  ['[1, 2]', 'a list can stand behind in alone, as in country in ["DE", "FR"]', '^'],
  ['s.startsWith("D")', 'a function takes its values in parentheses, as in starts_with(country, "D")', '^'],
  ['[1].all(i, i > 0)', 'a function takes its values in parentheses, as in starts_with(country, "D")', '^'],
  ['s[0] == "D"', 'values have no elements', '^'],
  ['{} == {}', 'there are no maps', '^'],
  ['x.y', 'values have no fields', '^'],
  ['column()', 'column takes a name that is written out: column("V-1")', '^'],
  ['column(1)', 'column takes a name that is written out: column("V-1")', '^'],
  ['column("x", "y")', 'column takes a name that is written out: column("V-1")', '^'],
  ['column(s)', 'column takes a name that is written out: column("V-1")', '^'],
  ['column("V-2")', 'there is no V-2. Did you mean V-1?', '       ^'],
  ['null == null', 'nothing is null here: write is_missing(…)', '^'],
  ['b"x" == s', 'values are numbers, texts, true and false', '^'],
  ['x === 1', 'no = can stand here. Write ==', '    ^'],
  ['x => 1', 'no = can stand here. Write >=', '  ^'],
  ['x =< 1', 'no = can stand here. Write <=', '  ^'],
  ['x <> 1', 'no > can stand here. Write != for <>', '   ^'],
  ['x > 1 OR y > 1', 'no OR can stand here. Write ||', '      ^'],
  ['x | y', 'no | can stand here. Write ||', '  ^'],
  ['s is null', 'no is can stand here. Write is_missing(x)', '  ^'],
  ['s like "a"', 'no like can stand here. Write starts_with, ends_with or contains', '  ^'],
  ['x * .5', 'no . can stand here. Write 0.5 for .5', '    ^'],
  ['1.0.0', 'a name is missing before 0', '    ^'],
  ['not(x > 1)', 'there is no function not. Did you mean !?', '^'],
  ['constructor(x)', `there is no function constructor. There are: ${Object.keys(FUNCTIONS).join(', ')}`, '^'],
  ['log(x)', 'there is no function log. Did you mean log1p?', '^'],
  ['{"a": 1} == x', 'there are no maps', '^'],
  [
    'Größe > 1',
    'no ö can stand here. Write other names than of a-z, 0-9 and _ as column("NAME"), and texts in straight quotes',
    '  ^',
  ],
  ['x + 1u', 'values are numbers, texts, true and false', '    ^'],
  ['x > 9007199254740993', 'a whole number beyond 2^53 is not exact', '    ^'],
  ['x > 1 and y > 1', 'no and can stand here. Write &&', '      ^'],
  ['x = 1', 'no = can stand here. Write ==', '  ^'],
  ['(x + 1', '")" is missing before the end', '      ^'],
  ['x +', 'something is missing at the end', '   ^'],
  ['x ? 1', '":" is missing before the end', '     ^'],
  ['if (x) 1', 'if is a word of the language, so it can name nothing', '^'],
  ['"abc', 'Unterminated string', '^'],
  [' ', 'the expression is empty', '^'],
])('%s: %s', (expression, message, caret) => {
  const [said, , , pointer] = fault(expression).split('\n')
  expect(said).toBe(`UserError: here: ${message}`)
  expect(pointer).toBe(`  ${caret}`)
})

test('of an expression of several lines the one with the fault is shown', () => {
  expect(fault('x > 1 &&\n\t\ty > z &&\n x < 3')).toContain('\n\n  \t\ty > z &&\n  \t\t    ^')
})

test('of a long line the part around the fault is shown', () => {
  const many = Array.from({ length: 40 }, (_, i) => `x > ${i}`).join(' && ')
  const [, , line, caret] = fault(many.replace('x > 30', 'z > 30')).split('\n')
  expect(line.length).toBe(2 + 1 + 100 + 1)
  expect([line.slice(0, 3), line.at(-1)]).toEqual(['  …', '…'])
  expect(line.slice(caret.length - 1)).toMatch(/^z > 30/)
  expect(fault(many.replace('x > 0', 'z > 0'))).toMatch(/\n\n {2}z > 0.*…\n {2}\^$/)
})

test.each([
  ['!'.repeat(9990) + 'true'],
  ['('.repeat(60) + 'x' + ')'.repeat(60)],
  [Array.from({ length: 300 }, () => 'x').join(' + ')],
  [Array.from({ length: 3000 }, () => 'x').join(' + ')],
  [`x in [${Array.from({ length: 1001 }, (_, i) => i).join(', ')}]`],
  [`x > ${' '.repeat(10_000)}1`],
])('an expression that would cost too much is refused: %#', (expression) => {
  expect(fault(expression)).toMatch(/Make several features of it|more than 250 parts/)
})

test('of many names some are listed, and one that cannot be written is proposed as it must be', () => {
  const many = (count: number): DatasetSchema => ({
    ...schema,
    entities: [],
    categorical: [],
    numeric: [...Array.from({ length: count - 4 }, (_, i) => `n${i}`), 'Vendor', 'V-1'],
  })
  const message = (count: number, name: string): string => faultOf(name, new EventScope(many(count))) ?? 'no fault'
  expect(message(12, 'qwertz')).toContain('n6, n7, Vendor, V-1. A')
  expect(message(13, 'qwertz')).toContain('n7, n8, Vendor, others. A')
  expect(message(12, 'V')).toContain('Did you mean column("V-1")?')
})

test('where a dataset has no times, an expression cannot name one', () => {
  const scope = new EventScope({ ...schema, time: 'none' })
  expect(() => compile('hour(time)', scope, 'here')).toThrow(/the dataset has no times \(`time: none`\)/)
  expect(scope.names.slice(0, 2)).toEqual(['amount', 'x'])
  expect(new EventScope(schema).names.slice(0, 3)).toEqual(['amount', 'time', 'x'])
})

test('a name that is a column and an entity of another column is refused; quoted it is the column', () => {
  const scope = new EventScope({ ...schema, categorical: ['terminal', 's', 't'] })
  const number = new EventScope({ ...schema, numeric: ['terminal', 'x'] })
  expect(() => compile('terminal == 1', number, 'here')).toThrow(/For the column write column\("terminal"\)/)
  expect(() => compile('terminal == "x"', scope, 'here')).toThrow(/For the column write column\("terminal"\)/)
  expect(compile('column("terminal") == "x"', scope, 'here').type).toBe('condition')
  expect(compile('column("terminal_id") == 1', scope, 'here').type).toBe('condition')
})

test.each([
  'hour()',
  'hour(time, 5)',
  'hour(time, "UTC", 1)',
  'hour(s)',
  'timestamp(x)',
  'timestamp(s, t)',
  'sqrt()',
  'sqrt(x, y)',
  'clamp(x, 1)',
  'clamp(x, 1, 2, s)',
  'clamp(x, 1, s)',
  'min(x, s)',
  'haversine(x, y, x)',
  'coalesce()',
  'is_missing()',
  'is_missing(x, y)',
  'starts_with(s)',
  'starts_with(s, t, t)',
  'starts_with(s, x)',
  'lower()',
  'lower(x) == s',
  'lower(s, t) == s',
])('%s has not the arguments that it takes', (expression) => {
  expect(fault(expression)).toMatch(/^UserError: here: \w+ takes .*\n\n {2}.*\n {2}\^$/)
})

test('a mask has the transactions of which a condition is true', () => {
  const batch = batchOf([ROW, MISSING, { ...ROW, x: 1 }, ROW])
  batch.kind[3] = FRAUD_LABEL
  const mask = Uint8Array.of(9, 9, 9, 9, 9)
  maskOf('x > 2', schema, 'here')(batch, mask)
  expect([...mask]).toEqual([1, 0, 0, 0, 9])
  expect(() => maskOf('x', schema, 'here')).toThrow(/this is a number; a condition is wanted/)
})
