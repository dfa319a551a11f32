import { expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { Base, Checkpoint, OwnedState } from '../../features/store/online-store.ts'
import { serviceDigest } from '../../features/view/view.ts'
import { schema, service } from '../testing/small-stream.ts'
import { checkDefinition, checkOutputs, checkPartitions, checkSchema, resumeAt } from './resume.ts'

const base: Base = { service: 'small', serviceDigest: serviceDigest(service), version: 3, watermark: 9, minorUnits: 2 }
const checkpoint: Checkpoint = { offset: 7, watermark: 9, minorUnits: 2 }

function state(given: { base?: Partial<Base>; checkpoint?: Partial<Checkpoint> | undefined }): OwnedState {
  return {
    base: { ...base, ...given.base },
    checkpoint: given.checkpoint && { ...checkpoint, ...given.checkpoint },
    read: async (_, keys) => keys.map(() => undefined),
    write: async () => {},
    [Symbol.dispose]: () => {},
  }
}

test('state is of the definition that is scored, or of none yet', () => {
  checkDefinition(state({}), service)
  checkDefinition(state({ base: { version: 0, serviceDigest: '' } }), service)
  const other = { serviceDigest: 'd'.repeat(64) }
  expect(() => checkDefinition(state({ base: other }), service)).toThrow(
    new UserError(
      'The online features of "small" were backfilled with another definition of it than the model\'s, ' +
        'which keeps 1048576 events of a key (features.maxEvents). ' +
        'Run: fd features backfill --dataset NAME --online',
    ),
  )
  const history = { dataset: 'mine', file: 'f.csv', fileDigest: '', transactions: 1 }
  expect(() => checkDefinition(state({ base: { ...other, history } }), service)).toThrow('--dataset mine --online')
})

test('state is of the records that the champion was trained on, those of its last checkpoint first', () => {
  const mills: DatasetSchema = { ...schema, amount: { ...schema.amount, minorUnits: 3 } }
  checkSchema(state({}), schema)
  checkSchema(state({ base: { schema } }), schema)
  checkSchema(state({ base: { schema: mills }, checkpoint: { schema } }), schema)
  for (const of of [{ base: { schema: mills } }, { base: { schema }, checkpoint: { schema: mills } }])
    expect(() => checkSchema(state(of), schema)).toThrow(
      /^The champion was trained on .* amount is .*\. If the records have changed.*fd score --group NAME$/,
    )
})

test('the topic has the partitions that it had when the state was written', () => {
  for (const given of [{}, { checkpoint: {} }, { checkpoint: { partitions: 3 } }])
    checkPartitions('in', state(given), 3)
  expect(() => checkPartitions('in', state({ checkpoint: { partitions: 3 } }), 5)).toThrow(
    new UserError(
      'Topic "in" has 5 partitions, and had 3 when this group wrote its state: keys have moved to partitions that ' +
        'lack their history. Begin another log (FD_HOME, or ?prefix=NAME in the Kafka URL) with that many from the ' +
        'start (scorer.partitions), and backfill what was: fd features backfill --online',
    ),
  )
})

const place = { group: 'g', topic: 'in', partition: 1 }

test('it goes on at its checkpoint, or at the start of the log; not where the log has lost what lies between', () => {
  for (const start of [0, 4]) expect(resumeAt(place, state({}), start)).toBe(start)
  for (const start of [0, 7]) expect(resumeAt(place, state({ checkpoint: {} }), start)).toBe(7)
  expect(() => resumeAt(place, state({ checkpoint: {} }), 8)).toThrow(
    new UserError(
      'The state of this group has folded partition 1 of "in" up to offset 7, but the log now begins at 8: what lies ' +
        'between is lost to it. Backfill the history that covers it, then start the scorer again: ' +
        'fd features backfill --online',
    ),
  )
})

test('a state that is ahead of the outputs is of another log, or of a later copy of it', () => {
  for (const committed of [7, 9]) checkOutputs(place, state({ checkpoint: {} }), committed)
  checkOutputs(place, state({}), 0)
  expect(() => checkOutputs(place, state({ checkpoint: {} }), 6)).toThrow(
    /group "g" has folded partition 1 of "in" up to offset 7, but the log has its outputs only up to 6/,
  )
})
