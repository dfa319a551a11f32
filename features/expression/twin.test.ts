import { Environment } from '@marcbachmann/cel-js'
import { expect, test } from 'vitest'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, type EventBatch } from '../../datasets/table/transaction.ts'
import { EventScope } from './event-scope.ts'
import { compile } from './expression.ts'
import { haversine } from './haversine.ts'
import { BLOCK } from './term.ts'

// The twin is cel-js itself: its checker and its evaluator, a row at a time. There a missing value is a variable that
// is not given, and what is not finite throws, so that the rules of missing values are CEL's rules of errors.

const schema: DatasetSchema = {
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'price', minorUnits: 2 },
  entities: [{ name: 'terminal', column: 'terminal', type: 'integer' }],
  numeric: ['x', 'y'],
  categorical: ['s', 't'],
}

type Type = 'double' | 'bool' | 'string'
/** One expression in our words and in those of the twin, where numbers have points and division is a function. */
type Pair = [ours: string, twin: string]

const VARIABLES: Record<Type, string[]> = {
  double: ['amount', 'time', 'terminal', 'x', 'y'],
  string: ['s', 't'],
  bool: [],
}
const TYPES: readonly Type[] = ['double', 'bool', 'string']

interface Checker {
  check: (part: unknown, context: unknown) => unknown
  getType: (name: Type) => unknown
}
interface Evaluator {
  run: (part: unknown, context: unknown) => unknown
}

function attempt(evaluator: Evaluator, part: unknown, context: unknown): unknown {
  try {
    return evaluator.run(part, context)
  } catch {
    return undefined
  }
}

/** Macros, since functions of CEL get no argument that is an error. */
const coalesce = ({ args }: { args: unknown[] }): object => ({
  typeCheck: (checker: Checker, _: unknown, context: unknown) => {
    const [first, second] = args.map((each) => checker.check(each, context))
    if (first !== second) throw new Error('two types')
    return first
  },
  evaluate: (evaluator: Evaluator, _: unknown, context: unknown) =>
    attempt(evaluator, args[0], context) ?? evaluator.run(args[1], context),
})

const isMissing = ({ args }: { args: unknown[] }): object => ({
  typeCheck: (checker: Checker, _: unknown, context: unknown) => {
    checker.check(args[0], context)
    return checker.getType('bool')
  },
  evaluate: (evaluator: Evaluator, _: unknown, context: unknown) => attempt(evaluator, args[0], context) === undefined,
})

function finite(value: number): number {
  if (!Number.isFinite(value)) throw new Error('not finite')
  return value
}

const berlin = new Intl.DateTimeFormat('en', { timeZone: 'Europe/Berlin', hour: 'numeric', hourCycle: 'h23' })

function berlinHour(time: number): number {
  if (time < Date.UTC(1000, 0, 2) || time >= Date.UTC(9999, 11, 30)) throw new Error('no time of a calendar')
  // Intl takes a part of a millisecond before 1970 for one after it.
  return Number(berlin.format(Math.floor(time)))
}

function twinOfCel(): Environment {
  const twin = new Environment()
  for (const name of VARIABLES.double) twin.registerVariable(name, 'double')
  for (const name of VARIABLES.string) twin.registerVariable(name, 'string')
  return twin
    .registerFunction('over(double, double): double', (x: number, y: number) => finite(x / y))
    .registerFunction('rest(double, double): double', (x: number, y: number) => finite(x % y))
    .registerFunction('sqrt(double): double', (x: number) => finite(Math.sqrt(x)))
    .registerFunction('log1p(double): double', (x: number) => finite(Math.log1p(x)))
    .registerFunction('abs(double): double', Math.abs)
    .registerFunction('min(double, double): double', Math.min)
    .registerFunction('max(double, double, double): double', Math.max)
    .registerFunction('clamp(double, double, double): double', (x: number, low: number, high: number) =>
      low <= high ? Math.max(low, Math.min(x, high)) : finite(Number.NaN),
    )
    .registerFunction('haversine(double, double, double, double): double', (...places: number[]) =>
      finite(haversine(places[0], places[1], places[2], places[3])),
    )
    .registerFunction('berlin_hour(double): double', berlinHour)
    .registerFunction('starts_with(string, string): bool', (text: string, part: string) => text.startsWith(part))
    .registerFunction('contains(string, string): bool', (text: string, part: string) => text.includes(part))
    .registerFunction('lower(string): string', (text: string) => text.toLowerCase())
    .registerFunction('coalesce(ast, ast): dyn', coalesce)
    .registerFunction('is_missing(ast): bool', isMissing)
}

/** Draws an expression of a type. With `slips` some parts are of another type than they should be. */
function draw(random: Random, type: Type, depth: number, slips: boolean): Pair {
  const wanted = slips && random.integer(15) === 0 ? TYPES[random.integer(3)] : type
  if (depth === 0 || random.integer(8) === 0) return leaf(random, wanted)
  const part = (of: Type): Pair => draw(random, of, depth - 1, slips)
  const same = TYPES[random.integer(3)]
  const call = (ours: string, ...parts: Pair[]): Pair => [
    `${ours}(${parts.map(([text]) => text).join(', ')})`,
    `${ours}(${parts.map(([, text]) => text).join(', ')})`,
  ]
  const infix = (op: string, left: Pair, right: Pair): Pair => [
    `(${left[0]} ${op} ${right[0]})`,
    `(${left[1]} ${op} ${right[1]})`,
  ]
  const renamed = (ours: Pair, name: string, ...parts: Pair[]): Pair => [ours[0], call(name, ...parts)[1]]
  const either = (): Pair => {
    const [condition, yes, no] = [part('bool'), part(wanted), part(wanted)]
    return [`(${condition[0]} ? ${yes[0]} : ${no[0]})`, `(${condition[1]} ? ${yes[1]} : ${no[1]})`]
  }
  const forms: Record<Type, (() => Pair)[]> = {
    double: [
      () => infix(['+', '-', '*'][random.integer(3)], part('double'), part('double')),
      () => {
        const [left, right] = [part('double'), part('double')]
        return random.integer(2) === 0
          ? renamed(infix('/', left, right), 'over', left, right)
          : renamed(infix('%', left, right), 'rest', left, right)
      },
      () => call(['sqrt', 'log1p', 'abs'][random.integer(3)], part('double')),
      () => call('min', part('double'), part('double')),
      () => call(['max', 'clamp'][random.integer(2)], part('double'), part('double'), part('double')),
      () => call('haversine', part('double'), part('double'), part('double'), part('double')),
      () => call('coalesce', part('double'), part('double')),
      () => {
        const [ours, twin] = part('double')
        return [`hour(${ours}, "Europe/Berlin")`, `berlin_hour(${twin})`]
      },
      () => {
        const [ours, twin] = part('double')
        return [`-${ours}`, `-${twin}`]
      },
      either,
    ],
    bool: [
      () => infix(['<', '<=', '>', '>=', '==', '!='][random.integer(6)], part(same), part(same)),
      () => infix(['&&', '||'][random.integer(2)], part('bool'), part('bool')),
      () => infix(['&&', '||'][random.integer(2)], part('bool'), part('bool')),
      () => infix('in', part('double'), ['[0, 1, -2, 2.5]', '[0.0, 1.0, -2.0, 2.5]']),
      () => infix('in', part('string'), ['["a", "B"]', '["a", "B"]']),
      () => call(['starts_with', 'contains'][random.integer(2)], part('string'), part('string')),
      () => call('is_missing', part(same)),
      () => call('coalesce', part('bool'), part('bool')),
      () => {
        const [ours, twin] = part('bool')
        return [`!${ours}`, `!${twin}`]
      },
      either,
    ],
    string: [
      () => infix('+', part('string'), part('string')),
      () => call('lower', part('string')),
      () => call('coalesce', part('string'), part('string')),
      either,
    ],
  }
  return forms[wanted][random.integer(forms[wanted].length)]()
}

function leaf(random: Random, type: Type): Pair {
  const names = VARIABLES[type]
  if (names.length > 0 && random.integer(4) > 0)
    return Array<string>(2).fill(names[random.integer(names.length)]) as Pair
  if (type === 'bool') return Array<string>(2).fill(String(random.integer(2) === 0)) as Pair
  if (type === 'string') return Array<string>(2).fill(JSON.stringify(['a', 'B', 'ab'][random.integer(3)])) as Pair
  const number = random.integer(200)
  return random.integer(2) === 0 ? [`${number}`, `${number}.0`] : [`${number}.25`, `${number}.25`]
}

const ROWS = BLOCK + 40

function drawBatch(random: Random): EventBatch {
  const batch = emptyBatch({ id: 'integer', entities: [{ type: 'integer' }], numeric: 2, categorical: 2 }, ROWS)
  const number = (): number => [Number.NaN, 0, -0, 1, 2.5, -90, random.normal(0, 50)][random.integer(7)]
  for (let row = 0; row < ROWS; row++) {
    batch.amount[row] = random.integer(100_000)
    batch.time[row] = random.uniform() * 4e12 - 1e12
    for (const column of batch.numeric) column[row] = number()
    for (const column of batch.categorical) column[row] = ['', 'a', 'B', 'abc'][random.integer(4)]
  }
  batch.entities[0] = Float64Array.from({ length: ROWS }, () => [Number.NaN, 0, 1, -2][random.integer(4)])
  return batch
}

/** What the twin knows of a row: what is missing is not there. */
function contextOf({ amount, time, entities, numeric, categorical }: EventBatch, row: number): object {
  const values = {
    amount: amount[row] / 100,
    time: time[row],
    terminal: entities[0][row],
    x: numeric[0][row],
    y: numeric[1][row],
    s: categorical[0][row],
    t: categorical[1][row],
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== '' && !Number.isNaN(value)))
}

function twinValue(evaluate: (context: object) => unknown, context: object): number {
  try {
    const value = evaluate(context)
    return Number.isFinite(Number(value)) ? Number(value) + 0 : Number.NaN
  } catch {
    return Number.NaN
  }
}

test('random expressions give the bits that cel-js gives, with values missing too', () => {
  const [random, twin] = [randomStream(11, 1), twinOfCel()]
  const batch = drawBatch(random)
  const differences: string[] = []
  let [there, missing] = [0, 0]
  for (let round = 0; round < 400; round++) {
    const [ours, theirs] = draw(random, round % 2 === 0 ? 'double' : 'bool', 1 + random.integer(4), false)
    const scope = new EventScope(schema)
    const { values } = compile(ours, scope, 'here')
    scope.batch = batch
    const [column, evaluate] = [values(ROWS), twin.parse(theirs)]
    for (let each = 0; each < 20; each++) {
      const row = random.integer(ROWS)
      const value = twinValue(evaluate, contextOf(batch, row))
      if (!Object.is(column[row], value)) differences.push(`${ours}: ${column[row]} is not ${value} in row ${row}`)
      if (Number.isNaN(value)) missing++
      else there++
    }
  }
  expect(differences).toEqual([])
  // Both kinds of values were compared.
  expect(Math.min(there, missing)).toBeGreaterThan(1000)
})

test('an expression is refused exactly where the checker of cel-js refuses it', () => {
  const [random, twin] = [randomStream(11, 2), twinOfCel()]
  const differences: string[] = []
  let refused = 0
  for (let round = 0; round < 1500; round++) {
    const [ours, theirs] = draw(random, round % 2 === 0 ? 'double' : 'bool', 1 + random.integer(3), true)
    const { valid, type } = twin.check(theirs)
    let made: string | undefined
    try {
      made = compile(ours, new EventScope(schema), 'here').type
    } catch {
      refused++
    }
    const expected = valid ? { double: 'number', bool: 'condition' }[type ?? ''] : undefined
    if (made !== expected) differences.push(`${ours} is ${made}, and for cel-js ${type}`)
  }
  expect(differences).toEqual([])
  expect(refused).toBeGreaterThan(100)
  expect(refused).toBeLessThan(1400)
})
