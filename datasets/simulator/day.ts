import type { EpochMs } from '../table/transaction.ts'
import { SECOND } from '../table/transaction.ts'
import { drawPurchases, SECONDS_A_DAY, type World } from './world.ts'

/**
 * The transactions of one day in order of time; equal seconds in order of customer. Every column has `size` entries.
 */
export interface SimulatedDay {
  day: number
  size: number
  /** TRANSACTION_ID of the first row; it counts up by one from row to row and day to day. */
  firstId: number
  time: Float64Array
  customer: Float64Array
  terminal: Float64Array
  /** Cents. */
  amount: Float64Array
  /** 0 genuine; 1, 2, 3 the fraud scenario that was applied last. */
  scenario: Uint8Array
}

/** The same columns in the order of drawing: customer by customer. */
export interface DrawnDay {
  /** Of the day, from 0. */
  second: number[]
  customer: number[]
  terminal: number[]
  amount: number[]
  scenario: number[]
}

/** Scenario 1: every amount above this is a fraud. Cents. */
const LARGE_AMOUNT = 220_00

/** Draws what all customers buy on one day, and applies the frauds under way. */
export function drawDay(world: World, day: number): DrawnDay {
  const { options, compromisedUntil } = world
  const drawn: DrawnDay = { second: [], customer: [], terminal: [], amount: [], scenario: [] }
  const stolenToday = world.stolen.get(day)
  for (let customer = 0; customer < options.customers; customer++) {
    const first = drawn.second.length
    drawPurchases(world, customer, day, (second, cents, terminal) => {
      drawn.second.push(second)
      drawn.customer.push(customer)
      drawn.terminal.push(terminal)
      drawn.amount.push(cents)
      drawn.scenario.push(day < compromisedUntil[terminal] ? 2 : cents > LARGE_AMOUNT ? 1 : 0)
    })
    for (const purchase of stolenToday?.get(customer) ?? []) {
      drawn.amount[first + purchase] *= 5
      drawn.scenario[first + purchase] = 3
    }
  }
  return drawn
}

/** A stable counting sort by second. */
export function inOrderOfTime(midnight: EpochMs, day: number, firstId: number, drawn: DrawnDay): SimulatedDay {
  const size = drawn.second.length
  const place = new Uint32Array(SECONDS_A_DAY + 1)
  for (const second of drawn.second) place[second + 1]++
  for (let second = 0; second < SECONDS_A_DAY; second++) place[second + 1] += place[second]
  const sorted = {
    time: new Float64Array(size),
    customer: new Float64Array(size),
    terminal: new Float64Array(size),
    amount: new Float64Array(size),
    scenario: new Uint8Array(size),
  }
  for (let row = 0; row < size; row++) {
    const to = place[drawn.second[row]]++
    sorted.time[to] = midnight + drawn.second[row] * SECOND
    sorted.customer[to] = drawn.customer[row]
    sorted.terminal[to] = drawn.terminal[row]
    sorted.amount[to] = drawn.amount[row]
    sorted.scenario[to] = drawn.scenario[row]
  }
  return { day, size, firstId, ...sorted }
}
