import type { Dataset } from '../../datasets/table/dataset.ts'
import { featureMatrix, type FeatureMatrix } from '../fold/fold-output.ts'
import { DerivedFeatures, RequestFeatures } from '../fold/row-features.ts'
import { featureRows } from '../fold/service-fold.ts'
import type { EntityState } from '../store/online-store.ts'
import { featureNames, type FeatureService } from '../view/view.ts'
import { historyOf, type BackfillOptions, type FeatureSink } from './backfill.ts'
import { featuresFile, openRowReader, readStates, statesFile, type RowReader, type ShardFolder } from './shard-part.ts'

/**
 * Hands the sinks what `backfill` would: the features of every transaction in log order. Those of an aggregate view
 * come from the part of the shard that has the row's key. Request and derived features need no
 * history and are computed here.
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
  const requests = new RequestFeatures(service, dataset.schema)
  const derived = new DerivedFeatures(service)
  const views = viewParts(service, parts)
  const width = featureNames(service).length
  const matrix = featureMatrix()
  let done = 0
  try {
    for await (const batch of historyOf(dataset, options)) {
      makeRoom(matrix, featureRows(batch), width)
      requests.write(batch, matrix.values, width)
      for (const view of views) takeRows(view, done, matrix, width)
      derived.write(matrix, width)
      for (const sink of sinks) sink.write(batch, matrix)
      done += matrix.rows
      options.report?.(done)
    }
    for (const sink of sinks) await sink.close()
  } finally {
    for (const { readers } of views) readers.forEach((reader) => reader[Symbol.dispose]())
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

/** An aggregate view's first column in the joined matrix, and the readers of all shards' parts of it. */
interface ViewPart {
  name: string
  column: number
  readers: RowReader[]
}

function viewParts(service: FeatureService, parts: ShardFolder): ViewPart[] {
  let next = 0
  return service.views.flatMap(({ kind, name, features }) => {
    const column = next
    next += features.length
    if (kind !== 'aggregate') return []
    const readers = Array.from({ length: parts.count }, (_, shard) =>
      openRowReader(featuresFile(parts, name, shard), features.length),
    )
    return [{ name, column, readers }]
  })
}

/** Brings the rows from number `first` on from the parts of all shards to the joined matrix, `width` wide. */
function takeRows({ name, readers, column }: ViewPart, first: number, matrix: FeatureMatrix, width: number): void {
  const taken = readers.reduce(
    (sum, reader) => sum + reader.take(first, first + matrix.rows, matrix.values, width, column),
    0,
  )
  // Shards that read the same file and divide the keys by the same hash leave each row exactly once.
  if (taken !== matrix.rows) {
    throw new Error(`The shards of view "${name}" left ${taken} of ${matrix.rows} rows from row ${first} on`)
  }
}
