import { batchShape, keyTypeOf, type DatasetSchema, type EntityRole } from '../../datasets/table/dataset.ts'
import { emptyBatch, type EventBatch } from '../../datasets/table/transaction.ts'
import type { Scope } from './scope.ts'
import { numbers, texts, type NumberTerm, type Term, type TextTerm } from './term.ts'

/**
 * The columns of events:
 *
 * - `amount`: in major units. `time`: milliseconds since 1970, unless the dataset has no times.
 * - numeric columns, as numbers; categorical columns, as texts.
 * - entities by their names: keys that are whole numbers as numbers, others as texts.
 *
 * `amount` and `time` are always the transaction's own. A column of such a name is `column("time")`.
 */
export class EventScope implements Scope {
  readonly quote = 'column'
  readonly names: readonly string[]
  /** The batch whose rows are read. Rows of labels have no attributes: what is read of them means nothing. */
  batch: EventBatch
  readonly #schema: DatasetSchema

  constructor(schema: DatasetSchema) {
    const { time, numeric, categorical, entities } = schema
    const own = time === 'none' ? ['amount'] : ['amount', 'time']
    this.names = [...new Set([...own, ...numeric, ...categorical, ...entities.map(({ name }) => name)])]
    this.batch = emptyBatch(batchShape(schema), 0)
    this.#schema = schema
  }

  find(name: string, quoted: boolean): Term | string | undefined {
    const { numeric, categorical, entities, time } = this.#schema
    if (!quoted && name === 'amount') return this.#amount()
    if (!quoted && name === 'time') return time === 'none' ? `the dataset has no times (\`time: none\`)` : this.#time()
    const place = entities.findIndex((each) => each.name === name || (quoted && columnOf(each) === name))
    const entity = entities.at(place < 0 ? entities.length : place)
    const [number, category] = [numeric.indexOf(name), categorical.indexOf(name)]
    const isColumn = number >= 0 || category >= 0
    if (!quoted && isColumn && entity !== undefined && columnOf(entity) !== name) {
      return `${name} is a column and an entity. For the column write column("${name}"), or rename the entity`
    }
    if (number >= 0) return this.#numbers((batch) => batch.numeric[number])
    if (category >= 0) return this.#texts((batch) => batch.categorical[category])
    if (entity === undefined) return this.#otherName(name)
    return keyTypeOf(entity) === 'integer'
      ? this.#numbers((batch) => batch.entities[place] as Float64Array)
      : this.#texts((batch) => batch.entities[place] as string[])
  }

  /** What a column is called here whose role has a name. */
  #otherName(name: string): string | undefined {
    const { amount, time, entities } = this.#schema
    const entity = entities.find((each) => columnOf(each) === name)
    const isTime = time !== 'none' && name === time.column
    const called = name === amount.column ? 'amount' : isTime ? 'time' : entity?.name
    return called === undefined ? undefined : `here the column ${name} is called ${called}`
  }

  #amount(): NumberTerm {
    const scale = 10 ** this.#schema.amount.minorUnits
    return numbers('number', (out, count, from) => {
      const { amount } = this.batch
      for (let i = 0; i < count; i++) out[i] = amount[from + i] / scale
    })
  }

  #time(): NumberTerm {
    return this.#numbers((batch) => batch.time)
  }

  #numbers(column: (batch: EventBatch) => Float64Array): NumberTerm {
    return numbers('number', (out, count, from) => out.set(column(this.batch).subarray(from, from + count)))
  }

  #texts(column: (batch: EventBatch) => string[]): TextTerm {
    return texts((out, count, from) => {
      const values = column(this.batch)
      for (let i = 0; i < count; i++) out[i] = values[from + i]
    })
  }
}

/** The column of an entity's keys, which those of several columns do not have. */
function columnOf(entity: EntityRole): string | undefined {
  return 'of' in entity ? undefined : entity.column
}
