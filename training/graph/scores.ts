import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { CategoricalColumn } from '../../features/backfill/training-set.ts'
import { formerCategoryCode } from '../../features/view/category.ts'
import { openOnnxSession } from '../../registry/onnx-session.ts'

/** Rows in one call: enough that the cost of the call itself vanishes, few enough to stay in cache. */
const BATCH = 4096

const ADVICE = 'Train the model again: fd train'

/**
 * Scores of `x` (row-major, `width` wide) by an ONNX graph. The graph's first input is float [N, width], its second, if
 * there is one, text [N, categories], and its first output is float [N] or [N, 1]. Runs on one thread: with more, the
 * last bits of a score depend on its batch.
 *
 * A graph of an earlier version has one input, and reads the categories there as codes.
 *
 * @throws UserError when `bytes` is not such a graph.
 */
export async function onnxScores(
  bytes: Uint8Array,
  x: Float32Array,
  width: number,
  categorical: CategoricalColumn[] = [],
): Promise<Float32Array> {
  const session = await openSession(bytes)
  try {
    const rows = x.length / width
    const scores = new Float32Array(rows)
    for (let row = 0; row < rows; row += BATCH) {
      const batch = x.subarray(row * width, Math.min(row + BATCH, rows) * width)
      scores.set(await runBatch(session, batch, width, categorical), row)
    }
    return scores
  } finally {
    await session.release()
  }
}

async function openSession(bytes: Uint8Array): Promise<InferenceSession> {
  try {
    return await openOnnxSession(bytes)
  } catch (error) {
    throw new UserError(`ONNX Runtime cannot load the graph: ${errorMessage(error)}. ${ADVICE}`, { cause: error })
  }
}

async function runBatch(
  session: InferenceSession,
  batch: Float32Array,
  width: number,
  categorical: CategoricalColumn[],
): Promise<Float32Array> {
  const [output] = session.outputNames
  const rows = batch.length / width
  try {
    const outputs = await session.run(feeds(session, batch, width, categorical), [output])
    const { data } = outputs[output]
    if (data instanceof Float32Array && data.length === rows) return data
  } catch (error) {
    const reason = `The graph cannot score rows of ${width} features: ${errorMessage(error)}`
    throw new UserError(`${reason}. ${ADVICE}`, { cause: error })
  }
  throw new UserError(`The graph's output "${output}" is not one float32 a row. ${ADVICE}`)
}

/** The inputs of a graph for some rows: their numbers and, as text, their categories. */
function feeds(
  { inputNames: [input, categories] }: InferenceSession,
  batch: Float32Array,
  width: number,
  categorical: CategoricalColumn[],
): Record<string, Tensor> {
  const rows = batch.length / width
  if (categories !== undefined) {
    return {
      [input]: new Tensor('float32', batch, [rows, width]),
      [categories]: new Tensor('string', categoryNames(batch, width, categorical), [rows, categorical.length]),
    }
  }
  const coded = categorical.length === 0 ? batch : batch.slice()
  for (const { feature, names } of categorical) {
    const codes = names.map(formerCategoryCode)
    for (let at = feature; at < coded.length; at += width) coded[at] = codes[batch[at]] ?? 0
  }
  return { [input]: new Tensor('float32', coded, [rows, width]) }
}

/** The names of the rows' categories, row-major; '' where one is missing. */
export function categoryNames(x: Float32Array, width: number, categorical: CategoricalColumn[]): string[] {
  const names: string[] = []
  for (let at = 0; at < x.length; at += width) {
    for (const column of categorical) names.push(column.names[x[at + column.feature]] ?? '')
  }
  return names
}
