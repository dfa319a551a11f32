import { expect, test } from 'vitest'
import { randomStream, type Random } from '../../datasets/random/random.ts'
import { Growing } from '../window/growing.ts'
import { KeyTable } from './key-table.ts'

const SHAPES: Record<string, (random: Random) => number | string> = {
  'small numbers': (random) => random.integer(50_000),
  'numbers of 53 bits, and their negatives': (random) =>
    (random.integer(2) * 2 - 1) * (random.integer(2 ** 21) * 2 ** 32 + random.integer(300)),
  'numbers that are 0 in their low bits': (random) => random.integer(40_000) * 2 ** 32,
  'numbers and the same as text': (random) => {
    const number = random.integer(20_000)
    return random.integer(2) === 0 ? number : String(number)
  },
  'texts of one length': (random) => `merchant-${String(random.integer(40_000)).padStart(6, '0')}`,
  'texts of many lengths, empty and long ones': (random) => 'ab'.repeat(random.integer(128)).slice(random.integer(3)),
  'texts with characters of two bytes, Latin-1, and outside the plane': (random) =>
    ['é', 'ÿ', 'Ā', '中', '😀', 'a'][random.integer(6)].repeat(1 + random.integer(3)) + random.integer(5_000),
}

const everyShape = Object.keys(SHAPES).flatMap((shape) => [32, 3].map((bits): [string, number] => [shape, bits]))

test.each(everyShape)('does what a Map does: %s, with a hash of %i bits', (shape, bits) => {
  const random = randomStream(7)
  const [table, twin] = [new KeyTable(undefined, bits), new Map<number | string, number>()]
  // To expect each of them alone would take most of the time.
  const differences: unknown[] = []
  const same = (found: unknown, wanted: unknown): void => void (found === wanted || differences.push([found, wanted]))
  for (let step = 0; step < 40_000; step++) {
    const key = SHAPES[shape](random)
    const known = twin.get(key) ?? -1
    same(table.slot(key), known)
    if (known >= 0) continue
    twin.set(key, twin.size)
    same(table.add(key), twin.size - 1)
  }
  same(table.size, twin.size)
  for (const [key, slot] of twin) {
    same(table.key(slot), key)
    same(table.slot(key), slot)
  }
  expect(differences).toEqual([])
})

test('0 and −0 are one key, a text and its bytes as other text are two', () => {
  const table = new KeyTable(1)
  table.add(-0)
  expect(table.slot(0)).toBe(0)
  expect(table.key(0)).toBe(0)
  // The same two bytes: two characters of one byte, and one of two.
  table.add('aa')
  expect(table.slot('\u6161')).toBe(-1)
  table.add('\u6161')
  expect([1, 2].map((slot) => table.key(slot))).toEqual(['aa', '\u6161'])
})

test('a number is not taken for a text that begins at that place', () => {
  const table = new KeyTable(undefined, 1)
  const texts = Array.from({ length: 20_000 }, (_, n) => String.fromCharCode(0x3000 + n))
  for (const text of texts) table.add(text)
  expect(texts.filter((_, n) => table.slot(n * 2) !== -1)).toEqual([])
})

test('slots are those of the order of arrival, whatever the hash begins with', () => {
  const tables = [new KeyTable(1), new KeyTable(2 ** 46), new KeyTable()]
  const random = randomStream(3)
  for (let n = 0; n < 5_000; n++) {
    const key = random.integer(2) === 0 ? n : `k${n}`
    expect(tables.map((table) => table.add(key))).toEqual([n, n, n])
  }
})

test('a column that grows keeps what it holds, and what is new is zero, across copies and growth in place', () => {
  const random = randomStream(5)
  const room = new Growing(Uint32Array)
  let twin = new Uint32Array()
  for (let length = 0; length < 1_800_000; length += 1 + random.integer(300_000)) {
    const column = room.grow(length)
    expect(column).toBe(room.array)
    expect(column.length).toBeGreaterThanOrEqual(length)
    expect(twin.every((value, at) => column[at] === value)).toBe(true)
    expect(column.subarray(twin.length).some((value) => value !== 0)).toBe(false)
    for (let at = twin.length; at < column.length; at++) column[at] = at * 7 + 1
    twin = Uint32Array.from(column)
  }
  expect(room.array.byteLength).toBeGreaterThan(4 << 20)
})
