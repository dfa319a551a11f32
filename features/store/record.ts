import { refuseNewer } from '../../configs/format.ts'
import type { Base, Checkpoint } from './online-store.ts'

/**
 * The version of the stored form: of bases and checkpoints as JSON, and also of the layout of states and keys, which
 * are read by the same rules.
 */
const FORM = 1

/** A base or checkpoint as JSON. JSON has no −Infinity, so the watermark of an empty fold is null. */
export function toRecord(record: Base | Checkpoint): string {
  return JSON.stringify({
    ...record,
    form: FORM,
    watermark: Number.isFinite(record.watermark) ? record.watermark : null,
  })
}

/**
 * Reads what `toRecord` wrote, or an older `fd`, whose records have no form.
 *
 * @throws SyntaxError when the text is not JSON, and UserError that names `what` when a newer `fd` wrote it.
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
