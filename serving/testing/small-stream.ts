import { encodeEvent } from '../../datasets/log/event-json.ts'
import type { NewRecord } from '../../datasets/log/event-log.ts'
import type { Random } from '../../datasets/random/random.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, FRAUD_LABEL, HOUR, SECOND, type EpochMs } from '../../datasets/table/transaction.ts'
import type { FeatureService } from '../../features/view/view.ts'
import type { Weather } from './weather.ts'

const MINUTE = 60 * SECOND

export const schema: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'time', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  refunds: true,
  entities: [
    { name: 'card', column: 'card', type: 'integer' },
    { name: 'terminal', column: 'terminal', type: 'integer', optional: true },
  ],
  numeric: [],
  categorical: [],
}

/** A service whose features tell apart whatever may go wrong: order, a lost event, one counted twice, a lost label. */
export const service: FeatureService = {
  name: 'small',
  description: '',
  views: [
    {
      kind: 'aggregate',
      name: 'terminals',
      entity: 'terminal',
      includesCurrent: false,
      features: [
        { name: 'terminal_share', function: 'fraud_share', window: { length: 9 * MINUTE } },
        {
          name: 'terminal_smooth_share',
          function: 'fraud_share',
          window: { length: 9 * MINUTE, delay: MINUTE },
          smoothing: { prior: 0.1, weight: 3 },
        },
        { name: 'terminal_count', function: 'count', window: { length: 5 * MINUTE, delay: MINUTE } },
      ],
    },
    {
      kind: 'aggregate',
      name: 'cards',
      entity: 'card',
      includesCurrent: true,
      features: [
        { name: 'card_count', function: 'count', window: { length: 60 * MINUTE } },
        { name: 'card_sum', function: 'sum_amount', window: { length: 3 * MINUTE } },
        { name: 'card_last', function: 'mean_amount', window: { last: 2 } },
        { name: 'card_refunds', function: 'refund_count', window: { length: 30 * MINUTE } },
        { name: 'card_paid_back', function: 'refund_sum', window: { length: 9 * MINUTE, delay: MINUTE } },
      ],
    },
    {
      kind: 'request',
      name: 'transaction',
      features: [
        { name: 'amount', from: 'amount' },
        { name: 'of_night', from: 'expression', expression: 'hour(time, "Europe/Berlin") < 6 && terminal != 1' },
      ],
    },
    {
      kind: 'derived',
      name: 'derived',
      features: [{ name: 'times_usual', expression: 'amount / card_last + terminal_share' }],
    },
  ],
}

interface Event {
  id: number
  /** Where its record was put. */
  place: number
  time: number
  amount: number
  card: number
  terminal: number
  knownAt?: number
}

const CARDS = 3
const TERMINALS = [0, 1]
/** One in four transactions has none. */
const WITH_BLANKS = [0, Number.NaN, 1, 0]

/**
 * Records of a few cards: transactions, some late, some that come twice, fraud labels, some of them before their
 * transaction, and some that are no events.
 */
export function smallStream(
  random: Random,
  { events: size, blankKeys, hourLate = false }: Pick<Weather, 'events' | 'blankKeys'> & Partial<Weather>,
  start: number,
): NewRecord[] {
  const terminals = blankKeys ? WITH_BLANKS : TERMINALS
  const events: Event[] = []
  const records: NewRecord[] = []
  let now = start
  // What was before the stream ends there.
  let newest = start
  for (let n = 0; n < size; n++) {
    now += random.integer(90 * SECOND)
    const about = events[random.integer(Math.max(1, events.length))]
    const chance = random.uniform()
    if (chance < 0.05) records.push({ key: String(random.integer(CARDS)), value: 'no event', timestamp: now })
    else if (about !== undefined && chance < 0.15) records.push(encode({ ...about }, now))
    else if (about !== undefined && chance < 0.3) {
      records.push(encode({ ...about, knownAt: now }, now))
      if (chance < 0.22) exchange(records, about.place, n)
    } else {
      const event = {
        id: n,
        place: n,
        time: random.uniform() < 0.2 ? lateTime(random, hourLate ? newest : undefined, now) : now,
        amount: paidOrBack(1 + random.integer(9_999)),
        card: random.integer(CARDS),
        terminal: terminals[random.integer(terminals.length)],
      }
      newest = Math.max(newest, event.time)
      events.push(event)
      records.push(encode(event, now))
    }
  }
  return records
}

/** One amount in five is a refund. */
function paidOrBack(amount: number): number {
  return amount % 5 === 0 ? -amount : amount
}

/**
 * Some minutes ago or, where `newest` is given, sometimes an hour before that, a ms more, or up to two hours more: what
 * is allowed and no more, and what the windows have left.
 */
function lateTime(random: Random, newest: EpochMs | undefined, now: EpochMs): EpochMs {
  if (newest === undefined || random.integer(2) === 0) return now - random.integer(4 * MINUTE)
  return newest - HOUR - [0, 1, random.integer(2 * HOUR)][random.integer(3)]
}

/** Lets two records of one key change places. Each place keeps its timestamp. */
function exchange(records: NewRecord[], a: number, b: number): void {
  const [before, after] = [records[a], records[b]]
  records[a] = { ...after, timestamp: before.timestamp }
  records[b] = { ...before, timestamp: after.timestamp }
}

function encode({ id, time, amount, card, terminal, knownAt }: Omit<Event, 'place'>, timestamp: number): NewRecord {
  const batch = emptyBatch({ id: 'integer', entities: schema.entities, numeric: 0, categorical: 0 }, 1)
  batch.ids[0] = id
  batch.time[0] = time
  batch.amount[0] = amount
  batch.entities[0][0] = card
  batch.entities[1][0] = terminal
  if (knownAt !== undefined) [batch.kind[0], batch.knownAt[0]] = [FRAUD_LABEL, knownAt]
  return encodeEvent(schema, batch, 0, timestamp)
}
