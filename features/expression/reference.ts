import { FUNCTIONS } from './functions.ts'

/** A part of the language as a user looks it up. */
export interface ReferenceEntry {
  /** How it is written. */
  form: string
  meaning: string
  example: string
}

/** The operators, those that bind weakest first. */
const OPERATORS: readonly ReferenceEntry[] = [
  {
    form: 'condition ? a : b',
    meaning: 'a where the condition is true, b where it is false; both of one type',
    example: 'amount > 500 ? 1 : 0',
  },
  {
    form: 'a || b',
    meaning: 'or: true where one side is, whatever the other',
    example: 'amount > 500 || country == "FR"',
  },
  {
    form: 'a && b',
    meaning: 'and: false where one side is, whatever the other',
    example: 'amount > 500 && country == "DE"',
  },
  {
    form: 'a == b, !=, <, <=, >, >=',
    meaning: 'compares two numbers, two texts or two conditions',
    example: 'country != "DE"',
  },
  {
    form: 'a in [b, c]',
    meaning: 'whether a value is in a list that is written out',
    example: 'country in ["DE", "FR"]',
  },
  {
    form: 'a + b, -, *, /, %',
    meaning: 'of two numbers; missing over zero; % is the rest, with the sign of a; + joins two texts',
    example: 'amount % 100 == 0',
  },
  { form: '!a, -a', meaning: 'not; the number with the other sign', example: '!(amount > 500)' },
]

/** Names of columns that an expression cannot write are quoted. */
const QUOTED: readonly ReferenceEntry[] = [
  {
    form: 'column("name")',
    meaning: 'a column by any name, such as V-1, in request features and in where',
    example: 'column("V-1") * 2',
  },
  {
    form: 'feature("name")',
    meaning: 'a feature by any name, such as n_1.5h, in derived features',
    example: 'feature("n_1.5h") + 1',
  },
]

/** Everything that an expression may be made of: operators, functions, and quoted names. */
export function reference(): ReferenceEntry[] {
  const functions = Object.entries(FUNCTIONS).map(([name, { parameters, meaning, example }]) => ({
    form: `${name}(${parameters})`,
    meaning,
    example,
  }))
  return [...OPERATORS, ...functions, ...QUOTED]
}
