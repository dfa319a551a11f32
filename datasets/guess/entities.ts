import { isCardNumber } from '../file/shown-text.ts'
import type { ColumnEntity } from '../table/dataset.ts'
import { patternName, type ColumnFacts } from './facts.ts'

/** Nouns of card payments by names of columns, the first entity first: the one whose card or account is used. */
const NOUNS: [noun: string, column: RegExp][] = [
  ['card', /^(cc|card|pan)(_?(num|number|no|id|1))?$|card_?(num|id|no|number)/i],
  ['account', /(acc(oun)?t|konto|iban)(?!.*(dest|bene))/i],
  ['origin', /orig|sender|payer|debtor/i],
  ['customer', /cust|client|user|member/i],
  ['destination', /dest|recipient|payee|benef|creditor/i],
  ['merchant', /^(merchant|mcht|shop|seller|vendor|store)(_?(id|name|no|num))?$/i],
  ['terminal', /terminal|^pos(_?id)?$/i],
  ['device', /device(_?(id|fingerprint))?$|fingerprint/i],
  ['email', /e?mail(?!.*domain)(_?address)?$/i],
  ['ip', /^ip(_?addr(ess)?)?$|_ip$/i],
]

/** More entities than this cost a stage each for what a user may not want. */
const MOST_ENTITIES = 4
/** A column of fewer keys is a kind of transaction, not somebody's. */
const FEWEST_KEYS = 20
/** Balances of an account are no account. */
const NO_KEY = /balance|amount|(^|_)(type|lat|long?|flag|count|age)(_|$)/i

/**
 * The entities of a table: as given, else by the names of its columns. The first one is in every row: by its key the
 * stream is divided.
 *
 * @param given columns that the user names, in their order.
 */
export function entitiesOf(
  columns: Iterable<ColumnFacts>,
  rows: number,
  given: { column: ColumnFacts; noun?: string }[] | undefined,
): ColumnEntity[] {
  const chosen = given ?? guessed([...columns])
  const whole = chosen.filter(({ column }) => column.filled.length === rows)
  const others = chosen.filter(({ column }) => column.filled.length < rows)
  const nouns = new Set<string>()
  return [...whole, ...(whole.length === 0 ? [] : others)].map(({ column, noun = nounOf(column.name) }, e) => {
    const name = nouns.has(noun) ? `${noun}_${e + 1}` : noun
    nouns.add(name)
    const token = holdsCards(column)
    return {
      name,
      column: column.name,
      type: column.whole && !token ? 'integer' : 'string',
      ...(token ? { token } : {}),
      ...(column.filled.length < rows ? { optional: true } : {}),
    }
  })
}

/** Whether most keys look like card numbers. One number in ten does by chance. */
function holdsCards({ filled }: ColumnFacts): boolean {
  const keys = [...new Set(filled)]
  return 2 * keys.filter(isCardNumber).length > keys.length
}

function guessed(columns: ColumnFacts[]): { column: ColumnFacts; noun: string }[] {
  const keys = columns.filter(
    ({ name, digits, numbers, distinct }) =>
      (digits || numbers === undefined) && distinct >= FEWEST_KEYS && !NO_KEY.test(patternName(name)),
  )
  const found: { column: ColumnFacts; noun: string }[] = []
  for (const [noun, pattern] of NOUNS) {
    const column = keys
      .filter(({ name }) => pattern.test(patternName(name)) && found.every((each) => each.column.name !== name))
      .toSorted((a, b) => b.distinct - a.distinct)[0]
    if (column !== undefined && found.length < MOST_ENTITIES) found.push({ column, noun })
  }
  return found
}

/** `CUSTOMER_ID` → customer, `cc_num` → cc. */
function nounOf(column: string): string {
  const words = column
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '')
  const telling =
    words.length > 1 && /^(id|no|num|number|key|nr)$/.test(words[words.length - 1]) ? words.slice(0, -1) : words
  const noun = telling.join('_')
  return /^[a-z]/.test(noun) ? noun : `key_${noun}`.replace(/_$/, '')
}
