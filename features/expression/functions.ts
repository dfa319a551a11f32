import { isTimeZone } from '../../datasets/table/time-zone.ts'
import { parseInstant } from '../../datasets/table/time.ts'
import { clockPart, type ClockPart } from './clock.ts'
import { haversine } from './haversine.ts'
import { finite, numbers, texts, type NumberTerm, type Term, type TextTerm } from './term.ts'

/** An argument of a call. `constant` is its value where it is written as a literal. */
export interface Argument {
  term: Term
  constant?: unknown
}

/** A function of expressions. */
export interface ExpressionFunction {
  /** How it is called, as in `time, zone?`: what has a `?` may be left out, `...` stands for more of the kind. */
  parameters: string
  /** What it takes, in the words of a message. */
  takes: string
  /** What it gives, with units and boundaries. */
  meaning: string
  example: string
  /** The call as a term; undefined where the arguments are not what it takes, a text for another fault of theirs. */
  apply: (args: readonly Argument[]) => Term | string | undefined
}

/** The functions of expressions, by name. Where an argument is missing, what they give is missing. */
export const FUNCTIONS: Readonly<Record<string, ExpressionFunction>> = {
  hour: clock('hour', 'hour of the day, 0 to 23', 'hour(time, "Europe/Berlin") < 6'),
  weekday: clock('weekday', 'day of the week, 1 Monday to 7 Sunday', 'weekday(time) >= 6'),
  day_of_month: clock('day_of_month', 'day of the month, 1 to 31', 'day_of_month(time) == 1'),
  timestamp: {
    parameters: 'text',
    takes: 'one text',
    meaning: 'milliseconds since 1970 of a date or time in ISO 8601, UTC unless it says; missing for other texts',
    example: '(time - timestamp(born)) / 86400000',
    apply: (args) => {
      const [text] = textsOf(args)
      return text === undefined || args.length > 1 ? undefined : instants(text)
    },
  },
  log1p: ofOne('logarithm of 1 + x, missing where x is −1 or less', 'log1p(amount)', Math.log1p),
  sqrt: ofOne('square root, missing below 0', 'sqrt(amount)', Math.sqrt),
  floor: ofOne('the greatest whole number that is not above x', 'floor(amount / 100)', Math.floor),
  abs: ofOne('x without its sign', 'abs(amount - 100)', Math.abs),
  min: ofMany('the least of the numbers', 'min(amount, 1000)', (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = Math.min(x[i], y[i])
  }),
  max: ofMany('the greatest of the numbers', 'amount / max(balance, 1)', (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = Math.max(x[i], y[i])
  }),
  clamp: ofNumbers(
    ['x', 'low', 'high'],
    'x, at least low and at most high; missing where low is above high',
    'clamp(amount / balance, 0, 10)',
    ([x, low, high], i) => (low[i] <= high[i] ? Math.min(Math.max(x[i], low[i]), high[i]) : Number.NaN),
  ),
  haversine: ofNumbers(
    ['lat1', 'lon1', 'lat2', 'lon2'],
    'kilometres between two places in degrees, on a sphere; missing where a latitude is beyond 90',
    'haversine(lat, lon, shop_lat, shop_lon) > 100',
    ([lat1, lon1, lat2, lon2], i) => haversine(lat1[i], lon1[i], lat2[i], lon2[i]),
  ),
  coalesce: {
    parameters: 'a, b, ...',
    takes: 'two or more values of one type',
    meaning: 'the first of the values that is not missing',
    example: 'coalesce(balance, -1)',
    apply: (args) => (args.length < 2 ? undefined : firstThere(args.map(({ term }) => term))),
  },
  is_missing: {
    parameters: 'x',
    takes: 'one value',
    meaning: 'whether the value is missing, itself never missing',
    example: 'is_missing(email)',
    apply: (args) => (args.length === 1 ? isMissing(args[0].term) : undefined),
  },
  starts_with: ofTwoTexts('whether the text begins with the part', 'starts_with(email, "gmail")', (text, part) =>
    text.startsWith(part),
  ),
  ends_with: ofTwoTexts('whether the text ends with the part', 'ends_with(email, ".com")', (text, part) =>
    text.endsWith(part),
  ),
  contains: ofTwoTexts('whether the part is in the text', 'contains(email, "mail")', (text, part) =>
    text.includes(part),
  ),
  lower: {
    parameters: 'text',
    takes: 'one text',
    meaning: 'the text in lower case',
    example: 'lower(country) == "de"',
    apply: (args) => {
      const [text] = textsOf(args)
      return text === undefined || args.length > 1 ? undefined : lower(text)
    },
  },
}

function clock(part: ClockPart, meaning: string, example: string): ExpressionFunction {
  return {
    parameters: 'time, zone?',
    takes: 'an instant in milliseconds since 1970, such as time, and a zone, such as "Europe/Berlin", if not in UTC',
    meaning: `${meaning}, in UTC or in an IANA time zone`,
    example,
    apply: ([time, zone, ...more]) => {
      if (time?.term.type !== 'number' || more.length > 0) return undefined
      if (zone === undefined) return mapped(time.term, clockPart(part))
      if (zone.term.type !== 'text') return undefined
      if (typeof zone.constant !== 'string') return `${part} takes a zone that is written out: "Europe/Berlin"`
      if (!isTimeZone(zone.constant)) return `there is no time zone "${zone.constant}". One is "Europe/Berlin"`
      return mapped(time.term, clockPart(part, zone.constant))
    },
  }
}

function ofOne(meaning: string, example: string, compute: (x: number) => number): ExpressionFunction {
  return {
    parameters: 'x',
    takes: 'one number',
    meaning,
    example,
    apply: ([x, ...more]) => (x?.term.type !== 'number' || more.length > 0 ? undefined : mapped(x.term, compute)),
  }
}

function mapped(x: NumberTerm, compute: (x: number) => number): NumberTerm {
  return numbers('number', (out, count, from) => {
    x.fill(from, count)
    for (let i = 0; i < count; i++) out[i] = finite(compute(x.values[i]))
  })
}

/** @param compute of the columns of the arguments and the place in them. */
function ofNumbers(
  names: readonly string[],
  meaning: string,
  example: string,
  compute: (columns: readonly Float64Array[], i: number) => number,
): ExpressionFunction {
  return {
    parameters: names.join(', '),
    takes: `${names.length} numbers: ${names.join(', ')}`,
    meaning,
    example,
    apply: (args) => {
      const terms = numbersOf(args)
      if (terms.length !== args.length || terms.length !== names.length) return undefined
      const columns = terms.map(({ values }) => values)
      return numbers('number', (out, count, from) => {
        for (const term of terms) term.fill(from, count)
        for (let i = 0; i < count; i++) out[i] = finite(compute(columns, i))
      })
    },
  }
}

type Loop = (x: Float64Array, y: Float64Array, out: Float64Array, count: number) => void

function ofMany(meaning: string, example: string, loop: Loop): ExpressionFunction {
  return {
    parameters: 'x, y, ...',
    takes: 'two or more numbers',
    meaning,
    example,
    apply: (args) => {
      const terms = numbersOf(args)
      if (terms.length !== args.length || terms.length < 2) return undefined
      return numbers('number', (out, count, from) => {
        for (const term of terms) term.fill(from, count)
        loop(terms[0].values, terms[1].values, out, count)
        for (const { values } of terms.slice(2)) loop(out, values, out, count)
      })
    },
  }
}

function ofTwoTexts(
  meaning: string,
  example: string,
  compute: (text: string, part: string) => boolean,
): ExpressionFunction {
  return {
    parameters: 'text, part',
    takes: 'two texts',
    meaning,
    example,
    apply: (args) => {
      const [text, part] = textsOf(args)
      if (text === undefined || part === undefined || args.length > 2) return undefined
      return numbers('condition', (out, count, from) => {
        text.fill(from, count)
        part.fill(from, count)
        for (let i = 0; i < count; i++) {
          const missing = text.values[i] === '' || part.values[i] === ''
          out[i] = missing ? Number.NaN : Number(compute(text.values[i], part.values[i]))
        }
      })
    },
  }
}

/** The arguments that are numbers: all of them, or the call is at fault. */
function numbersOf(args: readonly Argument[]): NumberTerm[] {
  return args.flatMap(({ term }) => (term.type === 'number' ? [term] : []))
}

function textsOf(args: readonly Argument[]): (TextTerm | undefined)[] {
  return args.map(({ term }) => (term.type === 'text' ? term : undefined))
}

function instants(text: TextTerm): NumberTerm {
  return numbers('number', (out, count, from) => {
    text.fill(from, count)
    for (let i = 0; i < count; i++) out[i] = parseInstant(text.values[i])
  })
}

function lower(text: TextTerm): TextTerm {
  return texts((out, count, from) => {
    text.fill(from, count)
    for (let i = 0; i < count; i++) out[i] = text.values[i].toLowerCase()
  })
}

function firstThere(terms: readonly Term[]): Term | undefined {
  const wanted = terms[0].type
  if (wanted === 'text') {
    const all = terms.flatMap((term) => (term.type === 'text' ? [term] : []))
    if (all.length < terms.length) return undefined
    return texts((out, count, from) => {
      for (const term of all) term.fill(from, count)
      for (let i = 0; i < count; i++) out[i] = all.find(({ values }) => values[i] !== '')?.values[i] ?? ''
    })
  }
  const all = terms.flatMap((term) => (term.type === wanted ? [term] : []))
  if (all.length < terms.length) return undefined
  return numbers(wanted, (out, count, from) => {
    for (const term of all) term.fill(from, count)
    for (let i = 0; i < count; i++) {
      let place = 0
      while (place < all.length - 1 && Number.isNaN(all[place].values[i])) place++
      out[i] = all[place].values[i]
    }
  })
}

function isMissing(term: Term): NumberTerm {
  return numbers('condition', (out, count, from) => {
    term.fill(from, count)
    for (let i = 0; i < count; i++) {
      const value = term.values[i]
      out[i] = Number(value === '' || Number.isNaN(value))
    }
  })
}
