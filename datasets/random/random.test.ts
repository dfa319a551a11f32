import { expect, test } from 'vitest'
import { randomStream } from './random.ts'

function moments(size: number, draw: () => number): { mean: number; deviation: number } {
  const values = Array.from({ length: size }, draw)
  const mean = values.reduce((sum, value) => sum + value, 0) / size
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size) }
}

function draws(...path: [number, ...number[]]): number[] {
  const random = randomStream(...path)
  return Array.from({ length: 5 }, () => random.uniform())
}

test('the same seed and counters give the same numbers, restarted or not; others do not', () => {
  const random = randomStream(7)
  random.normal(0, 1)
  random.restart(3, 4)
  expect(Array.from({ length: 5 }, () => random.uniform())).toEqual(draws(7, 3, 4))
  const paths: [number, ...number[]][] = [
    [7, 3, 4],
    [7, 4, 3],
    [7, 3],
    [7, 3, 5],
    [8, 3, 4],
    [7],
    [0],
    [0, 0],
    [2 ** 32],
    [0, 2 ** 32],
    [2 ** 32, 0],
  ]
  expect(new Set(paths.map((path) => draws(...path).join())).size).toBe(paths.length)
})

test('a restart forgets the spare normal', () => {
  const random = randomStream(1)
  const first = [random.normal(0, 1), random.uniform()]
  random.restart()
  random.normal(0, 1)
  random.restart()
  expect([random.normal(0, 1), random.uniform()]).toEqual(first)
})

test('uniform, integer, normal and Poisson have their moments', () => {
  const random = randomStream(42)
  const uniform = moments(100_000, random.uniform)
  expect(uniform.mean).toBeCloseTo(0.5, 2)
  expect(uniform.deviation).toBeCloseTo(Math.sqrt(1 / 12), 2)
  const normal = moments(100_000, () => random.normal(10, 2))
  expect(normal.mean).toBeCloseTo(10, 1)
  expect(normal.deviation).toBeCloseTo(2, 1)
  const poisson = moments(100_000, () => random.poisson(2.5))
  expect(poisson.mean).toBeCloseTo(2.5, 1)
  expect(poisson.deviation).toBeCloseTo(Math.sqrt(2.5), 1)
  expect(random.poisson(0)).toBe(0)
  const counts = new Uint32Array(7)
  for (let draw = 0; draw < 70_000; draw++) counts[random.integer(7)]++
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500)
})

test('the first numbers of streams with counting counters are uniform and unrelated', () => {
  const random = randomStream(0)
  let next = 0
  const firsts = Array.from({ length: 50_000 }, (_, counter) => {
    random.restart(2, counter, counter % 5)
    return random.uniform()
  })
  const { mean, deviation } = moments(firsts.length, () => firsts[next++])
  expect(mean).toBeCloseTo(0.5, 2)
  expect(deviation).toBeCloseTo(Math.sqrt(1 / 12), 2)
  const product =
    firsts.slice(1).reduce((sum, value, index) => sum + (value - mean) * (firsts[index] - mean), 0) / firsts.length
  expect(Math.abs(product / deviation ** 2)).toBeLessThan(0.02)
})
