import { isNoKey } from '../../datasets/table/key.ts'
import type { KeyColumn } from '../../datasets/table/transaction.ts'
import type { KeyTable } from './key-table.ts'

/** The slot of a row without a key. Nothing is folded for it, and its features are missing. */
export const NO_SLOT = 0xffff_ffff

/**
 * Writes the slot of each of the first `size` keys to `slots`, and `NO_SLOT` where there is no key. Returns the keys
 * that were not known, in order of their rows.
 *
 * @param add adds a key to the table and returns its slot.
 */
export function findSlots(
  keys: KeyColumn,
  size: number,
  table: KeyTable,
  slots: Uint32Array,
  add: (key: number | string) => number,
): (number | string)[] {
  const fresh: (number | string)[] = []
  for (let row = 0; row < size; row++) {
    const key = keys[row]
    const known = table.slot(key)
    if (known >= 0) slots[row] = known
    // Asked only here, since a key that is none never comes into the table.
    else if (isNoKey(key)) slots[row] = NO_SLOT
    else {
      slots[row] = add(key)
      fresh.push(key)
    }
  }
  return fresh
}
