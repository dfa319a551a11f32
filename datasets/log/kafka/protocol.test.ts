import { AssignerProtocol } from 'kafkajs'
import { expect, test } from 'vitest'
import { decodeAssignment, decodeOwned, encodeAssignment, encodeSubscription } from './protocol.ts'

const bytes = (...parts: string[]): Buffer => Buffer.from(parts.join('').replace(/ /g, ''), 'hex')
const NAME = '0002 696e'
const NO_DATA = 'ffffffff'

test(
  'subscription and assignment are the bytes of ' +
    'ConsumerProtocolSubscription 1 ' +
    'and ConsumerProtocolAssignment 0',
  () => {
    expect(encodeSubscription('in', [0, 258])).toEqual(
      bytes('0001', '00000001', NAME, NO_DATA, '00000001', NAME, '00000002 00000000 00000102'),
    )
    expect(encodeSubscription('in', [])).toEqual(bytes('0001', '00000001', NAME, NO_DATA, '00000000'))
    expect(encodeAssignment('in', [3])).toEqual(bytes('0000', '00000001', NAME, '00000001 00000003', NO_DATA))
    expect(encodeAssignment('in', [])).toEqual(bytes('0000', '00000000', NO_DATA))
  },
)

test(
  'what was written is read, and what consumers of other versions write: ' +
    '0 without owned partitions, 3 with generation and rack',
  () => {
    expect(decodeOwned(encodeSubscription('in', [5, 1]), 'in')).toEqual([5, 1])
    expect(decodeOwned(bytes('0000', '00000001', NAME, NO_DATA), 'in')).toEqual([])
    const version3 = bytes(
      '0003',
      '00000001',
      NAME,
      '00000002 abcd',
      '00000002 0001 78 00000001 00000009',
      NAME,
      '00000001 00000007',
      '00000004',
      'ffff',
    )
    expect(decodeOwned(version3, 'in')).toEqual([7])
    expect(decodeAssignment(encodeAssignment('in', [5, 1]), 'in')).toEqual([5, 1])
    expect([decodeOwned(Buffer.alloc(0), 'in'), decodeAssignment(Buffer.alloc(0), 'in')]).toEqual([[], []])
  },
)

test('kafkajs reads both', () => {
  expect(AssignerProtocol.MemberMetadata.decode(encodeSubscription('in', [1]))).toMatchObject({
    version: 1,
    topics: ['in'],
  })
  expect(AssignerProtocol.MemberAssignment.decode(encodeAssignment('in', [1, 2]))).toMatchObject({
    version: 0,
    assignment: { in: [1, 2] },
  })
})
