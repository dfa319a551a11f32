import { UserError } from '../../configs/user-error.ts'
import type { NumberForm } from './number-form.ts'
import type { TimeForm } from './time.ts'
import type { BatchShape, DurationMs, EpochMs, EventBatch } from './transaction.ts'

/** A column with an identity: whole numbers or text. */
export interface KeyRole {
  column: string
  type: 'integer' | 'string'
}

/** Whose history features are about: a customer, a card, a terminal, or a card at a terminal. */
export type EntityRole = ColumnEntity | CompoundEntity

/** An entity whose key is a column of the table. */
export interface ColumnEntity extends KeyRole {
  name: string
  /**
   * The column holds card numbers, which become keyed tokens as the file is read (`card-token.ts`). The type is then
   * `string`.
   */
  token?: boolean
  /**
   * A row may have no key here: nothing is folded for it, and its features of this entity are missing. The first entity
   * is never optional, since it is the key of the log, by which one partition sees all events of a key in order.
   */
  optional?: boolean
}

/** An entity that others make up together: the transactions of a card at a merchant, say. It is never the first. */
export interface CompoundEntity {
  name: string
  /**
   * Names of two to four entities that have a column, each once. The key is the JSON of theirs in this order, such as
   * `["c1",42]`, and therefore text. A row that lacks one of them has no key.
   */
  of: string[]
}

/** A column of event times. */
export interface TimeRole extends TimeForm {
  column: string
  /** Default 0, the Unix epoch. */
  origin?: EpochMs
}

/** Which column of a table of transactions plays which role. Everything else about a dataset follows from this. */
export interface DatasetSchema {
  /** Absent: the row's number, from 0, is its id. */
  id?: KeyRole
  /**
   * `none`: the features were computed elsewhere, and only the order of the rows is known. Then the event time of a row
   * of a file is its number, from 0, and that of a record of the stream is when it was put into the log.
   */
  time: TimeRole | 'none'
  amount: {
    column: string
    /** Decimal places of the currency: 2 makes 149.62 into 14962. */
    minorUnits: number
  }
  /**
   * Amounts below 0 are refunds. A refund is scored as any transaction is. It is no spending: of all aggregations,
   * `refund_count` and `refund_sum` alone see it. Without this, an amount below 0 is refused.
   */
  refunds?: boolean
  /** 1, true, yes, y or t is fraud; 0, false, no, n or f is genuine, in upper or lower case; empty: not known. */
  label?: {
    column: string
    /** The label becomes known this long after the transaction … */
    delay?: DurationMs
    /** … or at the timestamp in this column. One of the two; neither: known at once. */
    knownAt?: string
  }
  /** In a fixed order. `name` is the noun (`customer`), `column` its join key (`CUSTOMER_ID`). */
  entities: EntityRole[]
  numeric: string[]
  /**
   * By numeric column: how many decimal places its numbers have at most. Such a number is exact: whole when counted in
   * its last place, so that sums of them do not depend on their order. One with more decimals is refused.
   */
  decimals?: Record<string, number>
  categorical: string[]
  /** Texts that stand for an empty cell, in any column. */
  missing?: string[]
  /** How amounts, numeric attributes and counted times are written as text, where it is not as in JSON. */
  numbers?: NumberForm
}

/** The id field of records whose dataset has no id column. Predictions have the id under the same name. */
export const DEFAULT_ID = { column: 'transaction_id' }

/** The field of when a fraud became known, EpochMs. A record that has it is a label; any other is a transaction. */
export const FRAUD_KNOWN_AT = 'fraud_known_at'

type Entities = Pick<DatasetSchema, 'entities'>

/** An entity with a column of its own, and its place among the entities. */
export interface PlacedEntity {
  entity: ColumnEntity
  index: number
}

/** Whether an entity's keys are whole numbers or text. Those of several columns are text. */
export function keyTypeOf(entity: EntityRole): KeyRole['type'] {
  return 'of' in entity ? 'string' : entity.type
}

/** The entities that have a column of their own, in order. */
export function columnEntities({ entities }: Entities): PlacedEntity[] {
  return entities.flatMap((entity, index) => ('of' in entity ? [] : [{ entity, index }]))
}

/** The entities whose columns an entity's key is made of, in the key's order: itself, where it has a column. */
export function partsOf({ entities }: Entities, entity: EntityRole): PlacedEntity[] {
  const names = 'of' in entity ? entity.of : [entity.name]
  return names.flatMap((name) => {
    const index = entities.findIndex((each) => each.name === name)
    const part = entities[index]
    return part === undefined || 'of' in part ? [] : [{ entity: part, index }]
  })
}

/** Whether rows may lack the entity's key. */
export function mayLackKey(schema: Entities, entity: EntityRole): boolean {
  return partsOf(schema, entity).some((part) => part.entity.optional === true)
}

/** The declared decimal places of a numeric column; undefined where none are declared. */
export function decimalsOf({ decimals }: DatasetSchema, column: string): number | undefined {
  return decimals !== undefined && Object.hasOwn(decimals, column) ? decimals[column] : undefined
}

/** The columns that a batch of this schema has. */
export function batchShape({ id, entities, numeric, categorical }: DatasetSchema): BatchShape {
  return { id: id?.type ?? 'integer', entities, numeric: numeric.length, categorical: categorical.length }
}

/**
 * Refuses options that name an instant, where a dataset has no times.
 *
 * @param given by the option's name, without its dashes.
 * @throws UserError that names the option.
 */
export function requireTimes({ name, schema }: Pick<Dataset, 'name' | 'schema'>, given: Record<string, unknown>): void {
  if (schema.time !== 'none') return
  const option = Object.keys(given).find((key) => given[key] !== undefined && given[key] !== false)
  if (option === undefined) return
  throw new UserError(
    `--${option} needs times, and the dataset "${name}" says that it has none (\`time: none\`). Leave it out.`,
  )
}

/** How a training set is split when the command does not say. */
export type SplitRule = OrderedSplit | DelayedSplit

/** By time, the first `trainShare` of the rows are for training, the rest for testing. */
interface OrderedSplit {
  kind: 'ordered'
  trainShare: number
}

/**
 * The Handbook's protocol: days for training, a gap in which labels are not known yet, and days for testing. Cards with
 * a known fraud leave the test.
 */
interface DelayedSplit {
  kind: 'delayed'
  trainFrom: EpochMs
  trainDays: number
  delayDays: number
  testDays: number
  cardEntity: string
}

export interface Dataset {
  name: string
  description: string
  schema: DatasetSchema
  /** Feature service that fits when the command names none. */
  service: string
  split: SplitRule
  /** The file that is read, absolute. */
  file: string
  /** sha256 of the file's bytes, hex. */
  digest(): Promise<string>
  /** Rows in the file. */
  count(): Promise<number>
  /**
   * Transactions only, in file order, which must be the order of time.
   *
   * @param options.sort sorts by time a file that is in another order.
   * @throws UserError for a missing file or column, a cell that is not of its type (file, line, column, value),
   * time that goes back, or a duplicate id.
   */
  batches(options?: { sort?: boolean }): AsyncIterable<EventBatch>
}
