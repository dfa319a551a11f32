import { UserError } from '../../configs/user-error.ts'
import { isCardNumber, masked, shownText } from '../file/shown-text.ts'
import { type Dataset, type DatasetSchema, type EntityRole, partsOf } from '../table/dataset.ts'
import { isNoKey } from '../table/key.ts'
import { DAY, UNLABELLED, type EpochMs, type EventBatch, type KeyColumn } from '../table/transaction.ts'
import { MOST_VALUES, Tally, type Frequency } from './tally.ts'

/** How many of the most frequent keys and categories are shown. */
const MOST_FREQUENT = 10

/** The keys of an entity. */
export interface KeyProfile {
  name: string
  column: string
  /** Rows without a key. */
  blank: number
  /** Distinct keys that were counted: all of them, where `missed` is 0; else there are more. */
  distinct: number
  /** By how many rows a figure of `most` may be too low. */
  missed: number
  /** Whether a key was seen in a second row. Where `missed` is above 0 one may have come again unseen. */
  repeats: boolean
  /** Whether most of the distinct keys look like card numbers; they are masked then. */
  cardNumbers: boolean
  /** Whether keys are text such as `7.0`, and none is a fraction. */
  wholeFloats: boolean
  most: Frequency[]
}

/** A numeric or categorical column. */
export interface ColumnProfile {
  column: string
  /** Rows whose cell is empty. */
  blank: number
  /** Smallest and largest number; of a categorical column, its distinct values. */
  min?: number
  max?: number
  distinct?: number
  /** Of a categorical column: whether it has more distinct values than `distinct` says, and the same as of keys. */
  moreDistinct?: boolean
  wholeFloats?: boolean
  /** Whether the column alone tells all known frauds from all genuine transactions. */
  tellsLabel: boolean
}

/** What a dataset's rows look like. */
export interface Profile {
  /** Rows that were read: all, but where `stopped` says why no more. */
  rows: number
  stopped: string | null
  /** First and last time; Infinity and −Infinity where the dataset has no times. */
  from: EpochMs
  to: EpochMs
  /** By day (UTC) from the first to the last; empty where the dataset has no times. */
  rowsByDay: number[]
  atMidnight: number
  frauds: number
  genuine: number
  /** Amounts in major units: smallest, quartiles, 99 %, largest; how many are 0, and how many below it. */
  amounts: {
    min: number
    q25: number
    median: number
    q75: number
    q99: number
    max: number
    zeros: number
    refunds: number
  }
  entities: KeyProfile[]
  columns: ColumnProfile[]
}

/**
 * Reads a dataset by its roles, as every other command does, and counts. Memory: eight bytes a row for the amounts, and
 * a million distinct values of each column of keys or categories. A row that cannot be read ends the profile, which
 * says so and stands for the rows before it.
 *
 * @param mostValues of a column up to which all its distinct keys or categories are counted.
 */
export async function profileOf(
  dataset: Pick<Dataset, 'schema' | 'batches'>,
  mostValues = MOST_VALUES,
): Promise<Profile> {
  const profiler = new Profiler(dataset.schema, mostValues)
  let stopped: string | null = null
  try {
    for await (const batch of dataset.batches()) profiler.add(batch)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    stopped = error.message
  }
  return profiler.result(stopped)
}

/** Smallest and largest number of a column, among genuine transactions [0] and frauds [1], and how many are empty. */
interface Range {
  min: [number, number]
  max: [number, number]
  blank: number
}

class Profiler {
  readonly #schema: DatasetSchema
  readonly #days = new Map<number, number>()
  readonly #keys: { all: Tally; blank: number }[]
  readonly #ranges: Range[]
  readonly #categories: { all: Tally; byLabel: [Set<string>, Set<string>]; blank: number }[]
  #amounts = new Float64Array(1 << 16)
  #rows = 0
  #from = Infinity
  #to = -Infinity
  #atMidnight = 0
  readonly #labels = [0, 0]

  constructor(schema: DatasetSchema, mostValues: number) {
    this.#schema = schema
    this.#keys = schema.entities.map(() => ({ all: new Tally(mostValues, MARKS), blank: 0 }))
    this.#ranges = schema.numeric.map(() => ({ min: [Infinity, Infinity], max: [-Infinity, -Infinity], blank: 0 }))
    this.#categories = schema.categorical.map(() => ({
      all: new Tally(mostValues, MARKS),
      byLabel: [new Set(), new Set()],
      blank: 0,
    }))
  }

  add(batch: EventBatch): void {
    this.#addAmounts(batch)
    this.#addTimes(batch)
    for (let row = 0; row < batch.size; row++) if (batch.label[row] !== UNLABELLED) this.#labels[batch.label[row]]++
    for (const [e, keys] of this.#keys.entries()) addKeys(batch, batch.entities[e], keys)
    for (const [n, range] of this.#ranges.entries()) addNumbers(batch, batch.numeric[n], range)
    for (const [c, { all, byLabel }] of this.#categories.entries()) {
      for (let row = 0; row < batch.size; row++) {
        const category = batch.categorical[c][row]
        if (category === '') this.#categories[c].blank++
        else all.add(category)
        // Beyond a few categories a column may tell the label by chance.
        const label = batch.label[row]
        if (label !== UNLABELLED && byLabel[label].size <= FEW) byLabel[label].add(category)
      }
    }
    this.#rows += batch.size
  }

  result(stopped: string | null): Profile {
    const { entities, numeric, categorical } = this.#schema
    const first = Math.floor(this.#from / DAY)
    const days = this.#days.size === 0 ? 0 : Math.floor(this.#to / DAY) - first + 1
    const known = this.#labels[0] >= ENOUGH && this.#labels[1] >= ENOUGH
    return {
      rows: this.#rows,
      stopped,
      from: this.#from,
      to: this.#to,
      atMidnight: this.#atMidnight,
      rowsByDay: Array.from({ length: days }, (_, day) => this.#days.get(first + day) ?? 0),
      genuine: this.#labels[0],
      frauds: this.#labels[1],
      amounts: this.#amountQuantiles(),
      entities: entities.map((entity, e) => ({
        name: entity.name,
        column: columnsOf(this.#schema, entity),
        blank: this.#keys[e].blank,
        ...keysOf(this.#keys[e].all),
      })),
      columns: [
        ...numeric.map((column, n) => numericProfile(column, this.#ranges[n], known)),
        ...categorical.map((column, c) => {
          const { all, blank, byLabel } = this.#categories[c]
          const few = byLabel[0].size <= FEW && byLabel[1].size <= FEW
          return {
            column,
            blank,
            distinct: all.distinct,
            moreDistinct: all.missed > 0,
            wholeFloats: hasWholeFloats(all),
            tellsLabel: known && few && ![...byLabel[0]].some((category) => byLabel[1].has(category)),
          }
        }),
      ],
    }
  }

  #addAmounts({ amount, size }: EventBatch): void {
    if (this.#rows + size > this.#amounts.length) {
      const wider = new Float64Array(2 * this.#amounts.length)
      wider.set(this.#amounts)
      this.#amounts = wider
    }
    this.#amounts.set(amount.subarray(0, size), this.#rows)
  }

  #addTimes({ time, size }: EventBatch): void {
    if (this.#schema.time === 'none') return
    for (let row = 0; row < size; row++) {
      const day = Math.floor(time[row] / DAY)
      this.#days.set(day, (this.#days.get(day) ?? 0) + 1)
      if (time[row] === day * DAY) this.#atMidnight++
      if (time[row] < this.#from) this.#from = time[row]
      if (time[row] > this.#to) this.#to = time[row]
    }
  }

  #amountQuantiles(): Profile['amounts'] {
    const sorted = this.#amounts.subarray(0, this.#rows).toSorted()
    const scale = 10 ** this.#schema.amount.minorUnits
    const at = (share: number): number => (sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN) / scale
    const firstFrom = (wanted: (amount: number) => boolean): number => {
      const first = sorted.findIndex(wanted)
      return first < 0 ? sorted.length : first
    }
    const refunds = firstFrom((amount) => amount >= 0)
    const zeros = firstFrom((amount) => amount > 0) - refunds
    return { min: at(0), q25: at(0.25), median: at(0.5), q75: at(0.75), q99: at(0.99), max: at(1), zeros, refunds }
  }
}

/** Transactions of each kind that must be known before a column can be said to tell them apart. */
const ENOUGH = 10
/** Categories of each kind up to which a column can be said to tell them apart. */
const FEW = 20

function addKeys({ size }: EventBatch, column: KeyColumn, keys: { all: Tally; blank: number }): void {
  for (let row = 0; row < size; row++) {
    if (isNoKey(column[row])) keys.blank++
    else keys.all.add(column[row])
  }
}

function addNumbers({ label, size }: EventBatch, cells: Float64Array, range: Range): void {
  for (let row = 0; row < size; row++) {
    const cell = cells[row]
    if (Number.isNaN(cell)) {
      range.blank++
      continue
    }
    const kind = label[row] === 1 ? 1 : 0
    if (cell < range.min[kind]) range.min[kind] = cell
    if (cell > range.max[kind]) range.max[kind] = cell
  }
}

function numericProfile(column: string, { min, max, blank }: Range, known: boolean): ColumnProfile {
  const apart = max[0] < min[1] || max[1] < min[0]
  const both = Number.isFinite(min[0]) && Number.isFinite(min[1])
  return {
    column,
    blank,
    min: Math.min(...min),
    max: Math.max(...max),
    tellsLabel: known && both && blank === 0 && apart,
  }
}

/** What a text may look like: a card number, a whole number written as a float, a fraction. */
const MARKS = [
  isCardNumber,
  (text: string): boolean => /^-?\d+\.0+$/.test(text),
  (text: string): boolean => /^-?\d*\.\d*[1-9]\d*$/.test(text),
]

/** The column of an entity's keys, or those that make them up. */
function columnsOf(schema: DatasetSchema, entity: EntityRole): string {
  return partsOf(schema, entity)
    .map((part) => part.entity.column)
    .join(' and ')
}

/** A column with a fraction among its values may well be one of numbers, such as 1.0, 1.5 and 2.0. */
function hasWholeFloats({ marked: [, whole, fractions] }: Tally): boolean {
  return whole > 0 && fractions === 0
}

function keysOf(tally: Tally): Omit<KeyProfile, 'name' | 'column' | 'blank'> {
  const { distinct, missed, repeats, marked } = tally
  // One number in ten passes for a card's by chance. Whatever passes is masked.
  const shown = tally
    .most(MOST_FREQUENT)
    .map(({ value, rows }) => ({ value: isCardNumber(value) ? masked(value) : shownText(value), rows }))
  const cardNumbers = 2 * marked[0] > distinct
  return { distinct, missed, repeats, cardNumbers, wholeFloats: hasWholeFloats(tally), most: shown }
}
