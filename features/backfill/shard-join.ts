import type { Dataset } from '../../datasets/table/dataset.ts'
import { featureMatrix, type FeatureMatrix } from '../fold/fold-output.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import type { EntityState } from '../store/online-store.ts'
import { featureNames, type FeatureService } from '../view/view.ts'
import { historyOf, type BackfillOptions, type FeatureSink } from './backfill.ts'
import { featuresFile, openRowReader, readStates, statesFile, type RowReader, type ShardFolder } from './shard-part.ts'

/**
 * Hands the sinks what `backfill` would: the features of every transaction in log order. Those of an aggregate view
 * come from the part of the shard that has the row's key. Request features need no history and are computed here.
 *
 * @throws UserError when a part is missing or cut short.
 */
export async function joinShards(
  dataset: Dataset,
  service: FeatureService,
  sinks: readonly FeatureSink[],
  parts: ShardFolder,
  options: BackfillOptions = {},
): Promise<void> {
  const requests = new ServiceFold(
    { ...service, views: service.views.filter((view) => view.kind === 'request') },
    dataset.schema,
  )
  const views = viewParts(service, parts)
  const width = featureNames(service).length
  const matrix = featureMatrix()
  let done = 0
  try {
    for await (const batch of historyOf(dataset, options)) {
      const requested = requests.fold(batch)
      makeRoom(matrix, requested.rows, width)
      for (const view of views) {
        if (view.kind === 'request') copyColumns(requested, requests.names.length, view, matrix.values, width)
        else takeRows(view, done, matrix, width)
      }
      for (const sink of sinks) sink.write(batch, matrix)
      done += matrix.rows
      options.report?.(done)
    }
    for (const sink of sinks) await sink.close()
  } finally {
    for (const view of views) if (view.kind === 'aggregate') view.readers.forEach((reader) => reader[Symbol.dispose]())
  }
}

/** Gives the matrix so many rows. `late` stays 0: a dataset's rows are in order of time, so none is late. */
function makeRoom(matrix: FeatureMatrix, rows: number, width: number): void {
  matrix.rows = rows
  if (matrix.late.length < rows) Object.assign(matrix, featureMatrix(rows, width))
}

/**
 * The states of all keys, for the online store.
 *
 * @throws UserError when a part is missing or cut short.
 */
export function* joinStates(parts: ShardFolder): Generator<EntityState> {
  for (let shard = 0; shard < parts.count; shard++) yield* readStates(statesFile(parts, shard))
}

/**
 * A view's columns in the joined matrix, and their source: columns of the request features from `from` on, or the
 * readers of all shards' parts.
 */
type ViewPart = { column: number; width: number } & (
  | { kind: 'request'; from: number }
  | { kind: 'aggregate'; name: string; readers: RowReader[] }
)

function viewParts(service: FeatureService, parts: ShardFolder): ViewPart[] {
  let column = 0
  let from = 0
  return service.views.map((view): ViewPart => {
    const width = view.features.length
    const place = { column, width }
    column += width
    if (view.kind === 'aggregate') {
      const readers = Array.from({ length: parts.count }, (_, shard) =>
        openRowReader(featuresFile(parts, view.name, shard), width),
      )
      return { ...place, kind: 'aggregate', name: view.name, readers }
    }
    from += width
    return { ...place, kind: 'request', from: from - width }
  })
}

/** Copies the columns of a request view from the fold that computed them, `stride` wide, to the joined matrix. */
function copyColumns(
  requested: FeatureMatrix,
  stride: number,
  { column, width, from }: ViewPart & { kind: 'request' },
  out: Float64Array,
  outStride: number,
): void {
  for (let row = 0; row < requested.rows; row++) {
    for (let f = 0; f < width; f++) out[row * outStride + column + f] = requested.values[row * stride + from + f]
  }
}

/** Brings the rows from number `first` on from the parts of all shards to the joined matrix, `width` wide. */
function takeRows(
  { name, readers, column }: ViewPart & { kind: 'aggregate' },
  first: number,
  matrix: FeatureMatrix,
  width: number,
): void {
  const taken = readers.reduce(
    (sum, reader) => sum + reader.take(first, first + matrix.rows, matrix.values, width, column),
    0,
  )
  // Shards that read the same file and divide the keys by the same hash leave each row exactly once.
  if (taken !== matrix.rows) {
    throw new Error(`The shards of view "${name}" left ${taken} of ${matrix.rows} rows from row ${first} on`)
  }
}
