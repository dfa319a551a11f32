import type { Random } from '../random/random.ts'
import { randomStream } from '../random/random.ts'
import { drawPurchases, type World } from './world.ts'

/** Days on which all transactions of a compromised terminal are frauds. */
const TERMINAL_DAYS = 28
/** Days within which a third of a customer's purchases are frauds after the card data leaked. */
const CUSTOMER_DAYS = 14
/** First counter of each family of random streams. */
const TERMINAL_FRAUD = 3
const CUSTOMER_FRAUD = 4

/**
 * Draws the terminals and the customers whose frauds (scenarios 2 and 3) begin on this day, and marks them in the
 * world.
 */
export function beginFrauds(world: World, day: number): void {
  const { options, random, compromisedUntil } = world
  random.restart(TERMINAL_FRAUD, day)
  for (const terminal of distinct(random, options.compromisedTerminals, options.terminals))
    compromisedUntil[terminal] = day + TERMINAL_DAYS
  random.restart(CUSTOMER_FRAUD, day)
  const victims = distinct(random, options.compromisedCustomers, options.customers)
  const chance = randomStream(options.seed, CUSTOMER_FRAUD, day, 1)
  for (const customer of victims) steal(world, customer, day, chance)
}

/** Marks a third of the customer's purchases of the coming 14 days. */
function steal(world: World, customer: number, from: number, chance: Random): void {
  const ahead: { day: number; purchase: number }[] = []
  const until = Math.min(from + CUSTOMER_DAYS, world.options.days)
  for (let day = from; day < until; day++) {
    const count = drawPurchases(world, customer, day, () => undefined)
    for (let purchase = 0; purchase < count; purchase++) ahead.push({ day, purchase })
  }
  for (const index of distinct(chance, Math.floor(ahead.length / 3), ahead.length)) {
    const { day, purchase } = ahead[index]
    const victims = world.stolen.get(day) ?? new Map<number, number[]>()
    world.stolen.set(day, victims)
    victims.set(customer, [...(victims.get(customer) ?? []), purchase])
  }
}

/** `count` different numbers below `below`, or all of them when there are fewer, by Floyd's sampling. */
function distinct(random: Random, count: number, below: number): Set<number> {
  const chosen = new Set<number>()
  for (let last = Math.max(0, below - count); last < below; last++) {
    const drawn = random.integer(last + 1)
    chosen.add(chosen.has(drawn) ? last : drawn)
  }
  return chosen
}
