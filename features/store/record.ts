import { refuseNewer } from '../../configs/format.ts'
import type { Base, Checkpoint } from './online-store.ts'

/** Of bases and checkpoints as JSON, and with them of how states and keys lie: what stands beside them is read by the same rules. */
const FORM = 1

/** A base or checkpoint as JSON, which has no −Infinity, the watermark of an empty fold. */
export function toRecord(record: Base | Checkpoint): string {
  return JSON.stringify({
    ...record,
    form: FORM,
    watermark: Number.isFinite(record.watermark) ? record.watermark : null,
  })
}

/**
 * What `toRecord` wrote, or an older `fd` without a form.
 *
 * @throws SyntaxError for text that is no JSON, UserError that names `what` when a newer `fd` wrote it.
 */
export function fromRecord<T extends Base | Checkpoint>(text: string, what: string): T {
  const record = JSON.parse(text) as T & { form?: number }
  refuseNewer(
    record.form,
    FORM,
    what,
    'Or write it anew with this one, in another place (FD_ONLINE_STORE): fd features backfill --online',
  )
  delete record.form
  return { ...record, watermark: record.watermark ?? -Infinity }
}
