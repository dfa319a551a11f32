import { finite, numbers, texts, type NumberTerm, type Term, type TextTerm } from './term.ts'

/** Computes `count` values of two columns. Numbers and conditions have NaN where they are missing, texts ''. */
type NumberLoop = (x: Float64Array, y: Float64Array, out: Float64Array, count: number) => void
type TextLoop = (x: string[], y: string[], out: Float64Array, count: number) => void

// Each operator has a loop of its own, so that no row costs a call.

const ARITHMETIC: Record<string, NumberLoop> = {
  '+': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = finite(x[i] + y[i])
  },
  '-': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = finite(x[i] - y[i])
  },
  '*': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = finite(x[i] * y[i])
  },
  '/': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = finite(x[i] / y[i])
  },
  '%': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] % y[i]
  },
}

const NUMBER_ORDER: Record<string, NumberLoop> = {
  '<': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] < y[i] ? 1 : x[i] >= y[i] ? 0 : Number.NaN
  },
  '<=': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] <= y[i] ? 1 : x[i] > y[i] ? 0 : Number.NaN
  },
  '==': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === y[i] ? 1 : Number.isNaN(x[i] - y[i]) ? Number.NaN : 0
  },
  '!=': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === y[i] ? 0 : Number.isNaN(x[i] - y[i]) ? Number.NaN : 1
  },
}

const TEXT_ORDER: Record<string, TextLoop> = {
  '<': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === '' || y[i] === '' ? Number.NaN : Number(x[i] < y[i])
  },
  '<=': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === '' || y[i] === '' ? Number.NaN : Number(x[i] <= y[i])
  },
  '==': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === '' || y[i] === '' ? Number.NaN : Number(x[i] === y[i])
  },
  '!=': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === '' || y[i] === '' ? Number.NaN : Number(x[i] !== y[i])
  },
}

/** What is decided by one side alone does not ask whether the other is missing. */
const LOGIC: Record<string, NumberLoop> = {
  '&&': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === 0 || y[i] === 0 ? 0 : x[i] * y[i]
  },
  '||': (x, y, out, count) => {
    for (let i = 0; i < count; i++) out[i] = x[i] === 1 || y[i] === 1 ? 1 : x[i] + y[i]
  },
}

/** The same comparison with its sides swapped. */
const SWAPPED: Record<string, string> = { '>': '<', '>=': '<=' }

/**
 * `left op right`: a term, or in words what the operator takes instead.
 *
 * - `+ - * / %` of two numbers. `/` is no division of integers: 1 / 2 is 0.5. Over zero, and beyond the largest double,
 *   the result is missing. `%` has the sign of its left side.
 * - `+` of two texts joins them.
 * - `< <= > >= == !=` of two values of one type: texts by UTF-16 units, false before true.
 * - `&& ||` of two conditions: false && missing is false, true || missing is true, from either side.
 */
export function binary(op: string, left: Term, right: Term): Term | string {
  if (op in SWAPPED) return binary(SWAPPED[op], right, left)
  if (op in LOGIC) {
    if (left.type !== 'condition' || right.type !== 'condition') return 'two conditions'
    return ofNumbers('condition', LOGIC[op], left, right)
  }
  if (op in NUMBER_ORDER) return comparison(op, left, right)
  if (left.type === 'number' && right.type === 'number') return ofNumbers('number', ARITHMETIC[op], left, right)
  if (op !== '+') return 'two numbers'
  return left.type === 'text' && right.type === 'text' ? joined(left, right) : 'two numbers or two texts'
}

function comparison(op: string, left: Term, right: Term): Term | string {
  if (left.type === 'text' && right.type === 'text') {
    return numbers('condition', (out, count, from) => {
      left.fill(from, count)
      right.fill(from, count)
      TEXT_ORDER[op](left.values, right.values, out, count)
    })
  }
  if (left.type === 'text' || left.type !== right.type) return 'two values of one type'
  return ofNumbers('condition', NUMBER_ORDER[op], left, right)
}

function ofNumbers(type: NumberTerm['type'], loop: NumberLoop, left: NumberTerm, right: NumberTerm): NumberTerm {
  return numbers(type, (out, count, from) => {
    left.fill(from, count)
    right.fill(from, count)
    loop(left.values, right.values, out, count)
  })
}

function joined(left: TextTerm, right: TextTerm): TextTerm {
  return texts((out, count, from) => {
    left.fill(from, count)
    right.fill(from, count)
    for (let i = 0; i < count; i++) {
      const missing = left.values[i] === '' || right.values[i] === ''
      out[i] = missing ? '' : left.values[i] + right.values[i]
    }
  })
}

export function negative(of: NumberTerm): NumberTerm {
  return numbers('number', (out, count, from) => {
    of.fill(from, count)
    for (let i = 0; i < count; i++) out[i] = -of.values[i]
  })
}

/** True where a condition is false and the other way round; missing where it is missing. */
export function not(of: NumberTerm): NumberTerm {
  return numbers('condition', (out, count, from) => {
    of.fill(from, count)
    for (let i = 0; i < count; i++) out[i] = 1 - of.values[i]
  })
}

/** `condition ? yes : no`, both of one type. Where the condition is missing, so is the choice. */
export function choice(condition: NumberTerm, yes: Term, no: Term): Term | undefined {
  const fill = (from: number, count: number): void => {
    condition.fill(from, count)
    yes.fill(from, count)
    no.fill(from, count)
  }
  if (yes.type === 'text' && no.type === 'text') {
    return texts((out, count, from) => {
      fill(from, count)
      for (let i = 0; i < count; i++) {
        const met = condition.values[i]
        out[i] = met === 1 ? yes.values[i] : met === 0 ? no.values[i] : ''
      }
    })
  }
  if (yes.type === 'text' || no.type === 'text' || yes.type !== no.type) return undefined
  return numbers(yes.type, (out, count, from) => {
    fill(from, count)
    for (let i = 0; i < count; i++) {
      const met = condition.values[i]
      out[i] = met === 1 ? yes.values[i] : met === 0 ? no.values[i] : Number.NaN
    }
  })
}

/** Whether a value is among constants; missing where it is missing. */
export function isIn(value: Term, constants: ReadonlySet<unknown>): NumberTerm {
  return numbers('condition', (out, count, from) => {
    value.fill(from, count)
    for (let i = 0; i < count; i++) {
      const each = value.values[i]
      out[i] = each === '' || Number.isNaN(each) ? Number.NaN : Number(constants.has(each))
    }
  })
}
