import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { openOnnxSession } from '../../registry/onnx-session.ts'
import { modelScores, type FittedModel } from '../fit/fitted-model.ts'

/** Rows in one call: many enough that the call's own cost vanishes, few enough to stay in cache. */
const BATCH = 4096

/**
 * Scores of `x` (row-major, `width` wide) by an ONNX graph whose first input is float [N, width] and whose first output is
 * float [N] or [N, 1]. One thread: with more, the last bits of a score depend on the batch it is in.
 *
 * @throws UserError when the bytes are no such graph.
 */
export async function onnxScores(bytes: Uint8Array, x: Float32Array, width: number): Promise<Float32Array> {
  const session = await openSession(bytes)
  try {
    const rows = x.length / width
    const scores = new Float32Array(rows)
    for (let row = 0; row < rows; row += BATCH) {
      const batch = x.subarray(row * width, Math.min(row + BATCH, rows) * width)
      scores.set(await runBatch(session, batch, width), row)
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
    throw new UserError(`ONNX Runtime cannot load the graph: ${errorMessage(error)}. Train the model again: fd train`, {
      cause: error,
    })
  }
}

async function runBatch(session: InferenceSession, batch: Float32Array, width: number): Promise<Float32Array> {
  const [output] = session.outputNames
  try {
    const { data } = (
      await session.run({ [session.inputNames[0]]: new Tensor('float32', batch, [batch.length / width, width]) }, [
        output,
      ])
    )[output]
    if (data instanceof Float32Array && data.length === batch.length / width) return data
  } catch (error) {
    throw new UserError(
      `The graph cannot score rows of ${width} features: ${errorMessage(error)}. Train the model again: fd train`,
      { cause: error },
    )
  }
  throw new UserError(`The graph's output "${output}" is not one float32 a row. Train the model again: fd train`)
}

/** Largest absolute difference between the trainer's scores and the graph's on the rows of `set`; NaN counts as infinitely far. */
export async function verifyOnnx(model: FittedModel, bytes: Uint8Array, set: TrainingSet): Promise<number> {
  return largestDifference(modelScores(model, set.x), await onnxScores(bytes, set.x, set.names.length))
}

/** max |one − other| over all rows; NaN counts as infinitely far. */
export function largestDifference(one: Float32Array, other: Float32Array): number {
  let largest = 0
  for (let row = 0; row < one.length; row++) {
    const difference = Math.abs(one[row] - other[row])
    largest = Math.max(largest, Number.isNaN(difference) ? Infinity : difference)
  }
  return largest
}
