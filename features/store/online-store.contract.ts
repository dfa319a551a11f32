import { beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { LONGEST_COMPOUND } from '../../datasets/table/key.ts'
import { openOnlineStore } from '../open.ts'
import type { Base, EntityState, GroupPartition, OnlineStore, OwnedState } from './online-store.ts'

/** For those who have a partition whatever happens. */
const mine = async (): Promise<void> => {}

/**
 * The tests of what every driver of the online store promises. `freshUrl` gives each test a store of its own; `open`
 * opens it, by default through the door that the code itself uses.
 */
export function onlineStoreContract(
  driver: string,
  freshUrl: () => Promise<string>,
  open: (url: string) => Promise<OnlineStore> = openOnlineStore,
): void {
  const draft: Omit<Base, 'version'> = { service: 'card-fraud', serviceDigest: 'd', watermark: 5, minorUnits: 2 }
  const state = (view: string, key: number | string, text: string): EntityState => ({
    view,
    key,
    bytes: Buffer.from(text),
  })
  const at = (group: string, topic = 'transactions', partition = 0): GroupPartition => ({ group, topic, partition })
  const texts = (read: (Uint8Array | undefined)[]): (string | undefined)[] =>
    read.map((bytes) => (bytes === undefined ? undefined : Buffer.from(bytes).toString()))

  describe(`online store on ${driver}`, () => {
    let url: string
    beforeEach(async () => {
      url = await freshUrl()
    })

    test('without a backfill there is no base, and a group starts empty', async () => {
      await using store = await open(url)
      expect(await store.base('card-fraud')).toBeUndefined()
      const group = await store.group('card-fraud', at('a'))
      expect(group.base.version).toBe(0)
      expect(group.base.watermark).toBe(-Infinity)
      expect(group.checkpoint).toBeUndefined()
      expect(texts(await group.read('customers', [1, 'x']))).toEqual([undefined, undefined])
    })

    test('a published base is read by every group, in the order of the keys asked for', async () => {
      await using store = await open(url)
      const history = { dataset: 'simulated', file: 'f', fileDigest: 'x', until: 9, transactions: 3 }
      const base = await store.publish({ ...draft, history }, [
        state('customers', 1, 'one'),
        state('customers', 2, 'two'),
        state('terminals', 1, 'other'),
      ])
      expect(base).toEqual({ ...draft, history, version: 1 })
      expect(await store.base('card-fraud')).toEqual(base)
      for (const name of ['a', 'b']) {
        const group = await store.group('card-fraud', at(name))
        expect(texts(await group.read('customers', [2, 3, 1]))).toEqual(['two', undefined, 'one'])
        expect(texts(await group.read('terminals', [1]))).toEqual(['other'])
      }
    })

    test('42 and "42" are different keys, and keys may be any text', async () => {
      await using store = await open(url)
      const keys = [42, '42', 'n42', 'é/\u0000:"', 'x'.repeat(256), -1, 2 ** 52]
      await store.publish(
        draft,
        keys.map((key, i) => state('customers', key, String(i))),
      )
      const group = await store.group('card-fraud', at('a'))
      expect(texts(await group.read('customers', keys))).toEqual(keys.map((_, i) => String(i)))
    })

    test('two keys as long as those of several columns may be are told apart by their last byte', async () => {
      await using store = await open(url)
      const keys = ['a', 'b'].map((last) => `é${'x'.repeat(LONGEST_COMPOUND - 3)}${last}`)
      const place = at('g'.repeat(100), `transactions.${'t'.repeat(180)}`, 2 ** 20)
      await store.publish(
        draft,
        keys.map((key) => state('v'.repeat(60), key, key.slice(-1))),
      )
      const group = await store.take('card-fraud', place, mine)
      expect(texts(await group.read('v'.repeat(60), keys))).toEqual(['a', 'b'])
      const written = [state('v'.repeat(60), keys[0], 'A')]
      await group.write(written, { offset: 1, watermark: 6, minorUnits: 2 })
      expect(texts(await group.read('v'.repeat(60), keys))).toEqual(['A', 'b'])
    })

    test(
      'what one partition of a group writes stands over the base, with its checkpoint, ' +
        'and no other group, topic or partition sees it',
      async () => {
        await using store = await open(url)
        await store.publish(draft, [state('customers', 1, 'one'), state('customers', 2, 'two')])
        const group = await store.take('card-fraud', at('a'), mine)
        const checkpoint = { offset: 17, watermark: 8.5, minorUnits: 2 }
        await group.write([state('customers', 2, 'TWO'), state('customers', 3, 'three')], checkpoint)
        const again = await store.group('card-fraud', at('a'))
        expect(again.checkpoint).toEqual(checkpoint)
        expect(texts(await again.read('customers', [1, 2, 3]))).toEqual(['one', 'TWO', 'three'])
        for (const elsewhere of [at('a2'), at('a', 'transactions', 1), at('a', 'transactions', 10), at('a', 'other')]) {
          const other = await store.group('card-fraud', elsewhere)
          expect(other.checkpoint).toBeUndefined()
          expect(texts(await other.read('customers', [1, 2, 3]))).toEqual(['one', 'two', undefined])
        }
      },
    )

    test('thousands of states and long ones are one write', async () => {
      await using store = await open(url)
      const keys = Array.from({ length: 9_001 }, (_, i) => i)
      const group = await store.take('card-fraud', at('a'), mine)
      await group.write(
        keys.map((key) => state('customers', key, key === 7 ? 'x'.repeat(1_000_000) : `${key}`)),
        { offset: 1, watermark: 6, minorUnits: 2 },
      )
      await group.write([state('customers', 8, 'again')], { offset: 2, watermark: 6, minorUnits: 2 })
      const read = texts(await (await store.group('card-fraud', at('a'))).read('customers', keys))
      expect(read).toEqual(keys.map((key) => (key === 7 ? 'x'.repeat(1_000_000) : key === 8 ? 'again' : `${key}`)))
    })

    test('who takes the state shuts the writer before out, before writing anything itself', async () => {
      await using store = await open(url)
      await using elsewhere = await open(url)
      await store.publish(draft, [state('customers', 1, 'one')])
      const stopped = await store.take('card-fraud', at('a'), mine)
      await stopped.write([state('customers', 1, 'at 10')], { offset: 10, watermark: 6, minorUnits: 2 })
      const successor = await elsewhere.take('card-fraud', at('a'), mine)
      expect(successor.checkpoint?.offset).toBe(10)

      // The successor replays from 10. A state of 20 beneath it would count the events from 10 to 20 twice.
      const late = stopped.write([state('customers', 1, 'at 20'), state('customers', 2, 'new')], {
        offset: 20,
        watermark: 7,
        minorUnits: 2,
      })
      await expect(late).rejects.toThrow(UserError)
      await expect(late).rejects.toThrow(/taken over.*partition 0 of "transactions" for group "a"/)
      expect((await store.group('card-fraud', at('a'))).checkpoint?.offset).toBe(10)
      expect(texts(await successor.read('customers', [1, 2]))).toEqual(['at 10', undefined])

      await successor.write([state('customers', 1, 'at 30')], { offset: 30, watermark: 8, minorUnits: 2 })
      await expect(stopped.write([], { offset: 40, watermark: 9, minorUnits: 2 })).rejects.toThrow(UserError)
      const third = await store.take('card-fraud', at('a'), mine)
      expect(third.checkpoint).toEqual({ offset: 30, watermark: 8, minorUnits: 2 })
      expect(texts(await third.read('customers', [1]))).toEqual(['at 30'])
    })

    test('a partition that was lost before its state is taken leaves the state with its new owner', async () => {
      await using store = await open(url)
      await using elsewhere = await open(url)
      await store.publish(draft, [])
      const place = at('a')
      const owner = await elsewhere.take('card-fraud', place, mine)
      const lost = new UserError('Partition 0 is another process’s')
      await expect(store.take('card-fraud', place, () => Promise.reject(lost))).rejects.toBe(lost)
      await owner.write([state('customers', 1, 'one')], { offset: 1, watermark: 6, minorUnits: 2 })
    })

    test('who takes the state between the question whose the partition is and its answer keeps it', async () => {
      await using store = await open(url)
      await using elsewhere = await open(url)
      await store.publish(draft, [])
      const place = at('a')
      const taken: OwnedState[] = []
      // The answer was on its way when this process was stopped. Meanwhile the partition went to another one.
      const lost = new UserError('Partition 0 is another process’s')
      const late = store.take('card-fraud', place, async () => {
        if (taken.length > 0) throw lost
        taken.push(await elsewhere.take('card-fraud', place, mine))
      })
      await expect(late).rejects.toBe(lost)
      await taken[0].write([state('customers', 1, 'one')], { offset: 1, watermark: 6, minorUnits: 2 })

      // The same by one who has lost the partition by now. The one to whom the log has given it asks once more.
      let asked = 0
      const third = await store.take('card-fraud', place, async () => {
        if (asked++ === 0) taken.push(await elsewhere.take('card-fraud', place, mine))
      })
      expect(asked).toBe(2)
      expect(third.checkpoint?.offset).toBe(1)
      await expect(taken[1].write([], { offset: 2, watermark: 6, minorUnits: 2 })).rejects.toThrow(/taken over/)
      await third.write([state('customers', 1, 'ONE')], { offset: 3, watermark: 6, minorUnits: 2 })
    })

    test('a base that is published while the state is taken is the one that is taken', async () => {
      await using store = await open(url)
      await using elsewhere = await open(url)
      let published = 0
      const group = await store.take('card-fraud', at('a'), async () => {
        if (published < 3) await elsewhere.publish(draft, [state('customers', 1, String(++published))])
      })
      expect(group.base.version).toBe(3)
      expect(texts(await group.read('customers', [1]))).toEqual(['3'])
    })

    test('looking at a state, and taking another partition, leave the writer alone', async () => {
      await using store = await open(url)
      const group = await store.take('card-fraud', at('a'), mine)
      await store.group('card-fraud', at('a'))
      await store.take('card-fraud', at('a', 'transactions', 1), mine)
      await store.take('card-fraud', at('b'), mine)
      await group.write([state('customers', 1, 'one')], { offset: 1, watermark: 6, minorUnits: 2 })
      expect((await store.group('card-fraud', at('a'))).checkpoint?.offset).toBe(1)
    })

    test('what is written is there after the store is opened again', async () => {
      {
        await using store = await open(url)
        await store.publish(draft, [state('customers', 1, 'one')])
        await (
          await store.take('card-fraud', at('a'), mine)
        ).write([state('customers', 1, 'ONE')], { offset: 1, watermark: 6, minorUnits: 2 })
      }
      await using store = await open(url)
      const group = await store.group('card-fraud', at('a'))
      expect(group.checkpoint?.offset).toBe(1)
      expect(texts(await group.read('customers', [1]))).toEqual(['ONE'])
    })

    test(
      'a new base cuts over at once: groups start from it without a checkpoint; ' +
        'who had the old one open can still read it',
      async () => {
        await using store = await open(url)
        await store.publish(draft, [state('customers', 1, 'old')])
        const before = await store.take('card-fraud', at('a'), mine)
        await before.write([state('customers', 1, 'old, written')], { offset: 9, watermark: 6, minorUnits: 2 })
        expect((await store.publish(draft, [state('customers', 1, 'new')])).version).toBe(2)
        const after = await store.group('card-fraud', at('a'))
        expect(after.checkpoint).toBeUndefined()
        expect(texts(await after.read('customers', [1]))).toEqual(['new'])
        expect(texts(await before.read('customers', [1]))).toEqual(['old, written'])
        expect(await store.base('user-anomaly')).toBeUndefined()
      },
    )

    test(
      'bases before the previous one are removed, with what groups wrote on them; ' +
        'who goes on from one is refused, for every key would look new',
      async () => {
        await using store = await open(url)
        await store.publish(draft, [state('customers', 1, 'first')])
        const first = await store.take('card-fraud', at('a'), mine)
        await first.write([state('customers', 2, 'second')], { offset: 9, watermark: 6, minorUnits: 2 })
        await store.publish(draft, [])
        await store.publish(draft, [])
        await expect(first.read('customers', [1, 2])).rejects.toThrow(/newer backfills have replaced them.*fd score/)
        await expect(first.write([], { offset: 10, watermark: 6, minorUnits: 2 })).rejects.toThrow(
          /newer backfills have replaced them/,
        )
      },
    )

    test('every base that was published is known, oldest first, also when its states are gone', async () => {
      await using store = await open(url)
      for (const watermark of [1000, 2000, 3000, 4000]) await store.publish({ ...draft, watermark }, [])
      const known = await store.bases('card-fraud')
      expect(known.map(({ version, watermark }) => [version, watermark])).toEqual([
        [1, 1000],
        [2, 2000],
        [3, 3000],
        [4, 4000],
      ])
      expect(known.at(-1)).toEqual(await store.base('card-fraud'))
      expect(await store.bases('another')).toEqual([])
    })

    test('large bases are published whole', async () => {
      await using store = await open(url)
      const keys = Array.from({ length: 12_345 }, (_, i) => i)
      await store.publish(
        draft,
        (function* () {
          for (const key of keys) yield state('customers', key, `${key}`)
        })(),
      )
      const group = await store.group('card-fraud', at('a'))
      expect(texts(await group.read('customers', keys))).toEqual(keys.map(String))
    })
  })
}
