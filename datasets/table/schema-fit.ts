import type { DatasetSchema, KeyRole } from './dataset.ts'

/**
 * What of a schema says how a record of the stream is read, and so what its state means. The label is not among it: the
 * stream learns of frauds in records of their own. Orders of attributes are not, since they are read by name.
 */
function streamForm(schema: DatasetSchema): Record<string, unknown> {
  const { id, time, entities, numeric, categorical } = schema
  const key = ({ column, type }: KeyRole): KeyRole => ({ column, type })
  return {
    ...schema,
    label: undefined,
    refunds: schema.refunds === true ? true : undefined,
    id: id === undefined ? 'none' : key(id),
    time: time === 'none' ? time : { ...time, origin: time.origin ?? 0 },
    entities: entities.map((entity) => {
      if ('of' in entity) return entity
      const { name, optional = false, ...rest } = entity
      return { name, ...key(rest), ...(optional ? { optional } : {}) }
    }),
    numeric: numeric.toSorted(),
    categorical: categorical.toSorted(),
  }
}

/**
 * The first difference between two schemas that makes the records of one unreadable, or mean something else, by the
 * other; undefined where there is none.
 */
export function schemaDifference(one: DatasetSchema, other: DatasetSchema): string | undefined {
  const [here, there] = [streamForm(one), streamForm(other)]
  for (const role of new Set([...Object.keys(here), ...Object.keys(there)])) {
    const [a, b] = [here[role], there[role]].map(text)
    if (a !== b) return `${role} is ${b} and not ${a}`
  }
  return undefined
}

function text(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    ) ?? 'none'
  )
}

/**
 * Why a model cannot score the stream that is scored now, in the words of all who refuse it: the gate, the running
 * scorer, and the one that starts.
 *
 * @param stream schema by which the stream is read, and its state written.
 * @param model schema of the dataset that the model was trained on.
 */
export function otherStream(what: string, stream: DatasetSchema, model: DatasetSchema): string | undefined {
  const difference = schemaDifference(stream, model)
  if (difference === undefined) return undefined
  return (
    `${what} was trained on records of another form than the stream has: ${difference}. ` +
    'Train it on the dataset of this stream, or register it as another model, which scores a log of its own'
  )
}
