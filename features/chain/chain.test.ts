import { expect, test } from 'vitest'
import { isLogName } from '../../datasets/log/log-name.ts'
import { partitionOf } from '../../datasets/log/murmur2.ts'
import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { serviceDigest, type AggregateView, type FeatureService, type RequestView } from '../view/view.ts'
import { planChain, stageTopic, statePlace } from './chain.ts'

const schema: DatasetSchema = {
  time: { column: 'at', unit: 'ms' },
  amount: { column: 'amount', minorUnits: 2 },
  entities: ['card', 'terminal', 'shop'].map((name) => ({ name, column: name, type: 'string' })),
  numeric: [],
  categorical: [],
}
const view = (name: string, entity: string): AggregateView => ({
  kind: 'aggregate',
  name,
  entity,
  includesCurrent: true,
  features: [{ name: `${name}_count`, function: 'count', window: { last: 3 } }],
})
const request: RequestView = { kind: 'request', name: 'request', features: [{ name: 'amount', from: 'amount' }] }
const serviceOf = (...views: FeatureService['views']): FeatureService => ({ name: 's', description: '', views })

const service = serviceOf(view('a', 'terminal'), view('b', 'card'), request, view('c', 'shop'), view('d', 'terminal'))

/** The stages of a service over so many partitions: entity and names of the views. */
const planned = (
  of: FeatureService,
  partitions: number,
  by = schema,
): [entity: string | undefined, views: string[]][] =>
  planChain(of, by, { name: 'in', partitions }, 'g').map(({ entity, views }) => [entity, views.map(({ name }) => name)])

test('one partition has every order, so one stage folds all', () => {
  expect(planned(service, 1)).toEqual([[undefined, ['a', 'b', 'request', 'c', 'd']]])
})

test('in several, each entity but the log’s own has a stage behind, in the order of the service', () => {
  expect(planned(service, 2)).toEqual([
    [undefined, ['b', 'request']],
    ['terminal', ['a', 'd']],
    ['shop', ['c']],
  ])
  expect(planned(serviceOf(view('a', 'card'), request), 2)).toEqual([[undefined, ['a', 'request']]])
  expect(planned(serviceOf(request), 2)).toEqual([[undefined, ['request']]])
  expect(planned(serviceOf(view('a', 'card')), 2, { ...schema, entities: [] })).toEqual([
    [undefined, []],
    ['card', ['a']],
  ])
})

test('a stage’s topic names input, group, entity and definition', () => {
  const topics = planChain(service, schema, { name: 'in', partitions: 2 }, 'g').map(({ topic }) => topic)
  const digest = serviceDigest(service).slice(0, 12)
  expect(topics).toEqual(['in', `in.g.terminal.${digest}`, `in.g.shop.${digest}`])
  expect(stageTopic('in', 'g', 'shop', serviceOf(request))).not.toBe(topics[2])
})

test('an entity of any name has a topic that every log can have', () => {
  const topics = ['käufer', 'kaufer', 'k ufer', '😀', 'card_shop', 'a.b-c'].map((name) =>
    stageTopic('in', 'g', name, service),
  )
  expect(topics.filter((topic) => !isLogName(topic))).toEqual([])
  expect(new Set(topics).size).toBe(topics.length)
  const digest = serviceDigest(service).slice(0, 12)
  expect(topics.slice(-2)).toEqual([`in.g.card_shop.${digest}`, `in.g.a.b-c.${digest}`])
})

test('state lies with the partition that the key’s events come to', () => {
  const behind = stageTopic('in', 'g', 'shop', service)
  const topics = [
    { name: 'other', partitions: 9 },
    { name: 'in', partitions: 3 },
    { name: behind, partitions: 7 },
  ]
  const place = (known: typeof topics, entity: string): unknown => statePlace(known, 'in', 'g', service, entity, 'é7')
  const partition = (count: number): number => partitionOf(Buffer.from('é7'), count)
  expect(place(topics, 'shop')).toEqual({ group: 'g', topic: behind, partition: partition(7) })
  expect(place(topics, 'card')).toEqual({ group: 'g', topic: 'in', partition: partition(3) })
  expect(place(topics.slice(0, 1), 'card')).toEqual({ group: 'g', topic: 'in', partition: 0 })
})
