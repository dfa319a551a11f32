import type { Random } from '../../datasets/random/random.ts'

/** Each makes the text of a transaction into the value of a record that no reader may accept. */
const FAULTS: ((text: string, random: Random) => string | Uint8Array)[] = [
  () => '',
  () => '[]',
  (text, random) => text.slice(0, 1 + random.integer(text.length - 2)),
  (text) => text.replace(/"CUSTOMER_ID":\d+,/, ''),
  (text) => text.replace(/"CUSTOMER_ID":\d+/, String.raw`"CUSTOMER_ID":"\ud800"`),
  (text) => text.replace(/"TX_AMOUNT":[\d.]+/, '"TX_AMOUNT":"much"'),
  (text) => text.replace(/"TX_AMOUNT":[\d.]+/, '"TX_AMOUNT":1e400'),
  // A time far ahead of the record's own.
  (text) => text.replace(/"TX_DATETIME":\d+/, '"TX_DATETIME":4000000000000'),
  (text) => text.replace(/"TX_DATETIME":\d+/, '"TX_DATETIME":"5/4/2018"'),
  (_text, random) => '['.repeat(1 + random.integer(10_000)),
  (text) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0xff, 0x7d])]),
]

/** A record's value that is no event, made from the text of one that is. */
export function badValue(random: Random, text: string): string | Uint8Array {
  return FAULTS[random.integer(FAULTS.length)](text, random)
}
