import { batchShape, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'

/** Transactions of customers at terminals, without anything else. */
export const SMALL_SCHEMA: DatasetSchema = {
  id: { column: 'id', type: 'integer' },
  time: { column: 'time', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: [
    { name: 'customer', column: 'customer', type: 'integer' },
    { name: 'terminal', column: 'terminal', type: 'integer' },
  ],
  numeric: [],
  categorical: [],
}

/** One event of a log, as a person would write it, with its keys under the names of its schema's entities. */
export interface LoggedEvent {
  id: number | string
  time: number
  /** Minor units. */
  amount: number
  /** Whether it is a label about the transaction of this id. */
  label: boolean
}

/** An event by `SMALL_SCHEMA`. */
export interface SmallEvent extends LoggedEvent {
  id: number
  customer: number
  terminal: number
}

/** Events as a batch. Numeric and categorical columns that an event does not have are left empty. */
export function eventBatch<Event extends LoggedEvent>(
  events: readonly Event[],
  schema: DatasetSchema = SMALL_SCHEMA,
): EventBatch {
  const batch = emptyBatch(batchShape(schema), events.length)
  for (const [row, event] of events.entries()) {
    batch.kind[row] = event.label ? FRAUD_LABEL : 0
    batch.ids[row] = event.id
    batch.time[row] = event.time
    batch.amount[row] = event.amount
    for (const [e, { name }] of schema.entities.entries())
      batch.entities[e][row] = event[name as keyof Event] as number | string
    for (const [n, name] of schema.numeric.entries())
      if (name in event) batch.numeric[n][row] = event[name as keyof Event] as number
    for (const [c, name] of schema.categorical.entries())
      if (name in event) batch.categorical[c][row] = event[name as keyof Event] as string
  }
  return batch
}
