import { refuseNewer } from '../../configs/format.ts'
import { decodeColumns, encodeColumns } from './column-state.ts'
import type { EventFold } from './event-fold.ts'
import { decodeEvents, encodeEvents, HEADER, refuseState, REFUNDS, type StateOwner } from './event-state.ts'
import type { HeldLabels } from './fraud-labels.ts'
import type { KindFold } from './kind-fold.ts'
import type { ViewFold } from './view-fold.ts'

/** The form of a state that has more than times, amounts and ids of payments and refunds. */
const KINDS_FORM = 2
const NO_LABELS: HeldLabels = { times: [], idHashes: [] }

/**
 * The state of one key of one view as bytes, as the online store keeps it: all that the fold needs to go on as if it
 * had never stopped.
 *
 * Where a view has payments and refunds alone, of which it keeps times, amounts and ids, these are the payments
 * (`encodeEvents`). Where the key has refunds, theirs follow in the same form, and u32 the number of their bytes.
 *
 * Any other view writes, little endian:
 *
 *     u8 form (2), u8 0, u16 number of kinds of events
 *     per kind: u32 bytes of its events, u32 bytes of their columns
 *     per kind: its events (`encodeEvents`), their columns (`encodeColumns`)
 */
export function encodeState(view: ViewFold, slot: number): Buffer {
  const held = view.labels.held(slot)
  if (!view.kinds.every(isPlain)) return encodeKinds(view, held, slot)
  const payments = encodeEvents(view.payments, held, slot)
  const { refunds } = view
  if (refunds === undefined || isEmpty(refunds, slot)) return payments
  payments[1] |= REFUNDS
  const others = encodeEvents(refunds, NO_LABELS, slot)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(others.length)
  return Buffer.concat([payments, others, length])
}

/**
 * Puts stored state into a slot that has no events yet.
 *
 * @throws UserError when the bytes are of another version, belong to another view, or are cut short.
 */
export function decodeState(view: ViewFold, slot: number, bytes: Uint8Array): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const owner = { entity: view.view.entity, key: view.key(slot), view: view.view.name }
  refuseNewer(
    buffer[0],
    KINDS_FORM,
    `The stored state of ${owner.entity} ${owner.key}`,
    'Or write it anew with this one: fd features backfill --online',
  )
  if (!view.kinds.every(isPlain)) return decodeKinds(view, slot, buffer, owner)
  const end = endOfPayments(buffer)
  const { payments, refunds } = view
  view.labels.restore(slot, resume(payments, slot, buffer.subarray(0, end), owner))
  if (end < buffer.length && refunds !== undefined) resume(refunds, slot, buffer.subarray(end, -4), owner)
  else refunds?.clock.set(slot, payments.clock.at(slot))
}

/** Whether a kind is one that every version could have. */
function isPlain({ kind, plan }: KindFold): boolean {
  return kind.where === undefined && plan.aggregators.length === 0 && !plan.first && !plan.hasEver
}

function isEmpty({ rings, pushedOut }: EventFold, slot: number): boolean {
  return rings.first(slot) === rings.next(slot) && pushedOut.at(slot) === -Infinity
}

function resume(of: EventFold, slot: number, bytes: Buffer, owner: StateOwner): HeldLabels {
  const { progress, held } = decodeEvents(of, slot, bytes, owner)
  of.windows.state.resume(slot, progress)
  return held
}

function endOfPayments(buffer: Buffer): number {
  if (buffer.length < HEADER || (buffer[1] & REFUNDS) === 0) return buffer.length
  return Math.max(0, buffer.length - 4 - buffer.readUInt32LE(buffer.length - 4))
}

function encodeKinds({ kinds, payments }: ViewFold, held: Readonly<HeldLabels>, slot: number): Buffer {
  const parts = kinds.flatMap((kind) => [
    encodeEvents(kind.fold, kind.fold === payments ? held : NO_LABELS, slot),
    encodeColumns(kind, slot),
  ])
  const header = Buffer.alloc(4 + 4 * parts.length)
  header[0] = KINDS_FORM
  header.writeUInt16LE(kinds.length, 2)
  for (const [p, part] of parts.entries()) header.writeUInt32LE(part.length, 4 + 4 * p)
  return Buffer.concat([header, ...parts])
}

function decodeKinds(view: ViewFold, slot: number, buffer: Buffer, owner: StateOwner): void {
  const count = 2 * view.kinds.length
  let at = 4 + 4 * count
  if (buffer.length < at || buffer[0] !== KINDS_FORM || buffer.readUInt16LE(2) * 2 !== count) refuseState(buffer, owner)
  const part = (p: number): Buffer => buffer.subarray(at, (at += buffer.readUInt32LE(4 + 4 * p)))
  for (const [k, kind] of view.kinds.entries()) {
    const { progress, held } = decodeEvents(kind.fold, slot, part(2 * k), owner)
    const bases = decodeColumns(kind, slot, part(2 * k + 1))
    if (bases === undefined) refuseState(buffer, owner)
    kind.fold.windows.state.resume(slot, progress, bases)
    if (kind.fold === view.payments) view.labels.restore(slot, held)
  }
  if (at !== buffer.length) refuseState(buffer, owner)
}
