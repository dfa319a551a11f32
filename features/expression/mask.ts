import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'
import { EventScope } from './event-scope.ts'
import { compile } from './expression.ts'

/**
 * Which transactions of a batch a condition is true of: 1 in their rows of `mask`, which has at least `batch.size`, and
 * 0 in the others. Where the condition is missing it is not true. Rows of labels have no attributes and get 0.
 */
export type Mask = (batch: EventBatch, mask: Uint8Array) => void

/**
 * Compiles a condition over the columns of an event.
 *
 * @param where as in `compile`.
 * @throws UserError as `compile`, also for an expression that is no condition.
 */
export function maskOf(condition: string, schema: DatasetSchema, where: string): Mask {
  const scope = new EventScope(schema)
  const { values } = compile(condition, scope, where, 'condition')
  return (batch, mask) => {
    scope.batch = batch
    const met = values(batch.size)
    for (let row = 0; row < batch.size; row++) mask[row] = met[row] === 1 && batch.kind[row] !== FRAUD_LABEL ? 1 : 0
  }
}
