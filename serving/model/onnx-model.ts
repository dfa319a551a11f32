import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { UserError, errorMessage } from '../../configs/user-error.ts'
import { openOnnxSession } from '../../registry/onnx-session.ts'

/** A model that scores rows of features. */
export interface OnnxModel extends AsyncDisposable {
  /** Scores `rows` rows of `input` (row-major float32). The result is `rows` long and does not depend on how rows are batched. */
  score(input: Float32Array, rows: number): Promise<Float32Array>
}

/**
 * Loads an ONNX graph with input `input` `[N, width]` and output `output` `[N]` or `[N, 1]`.
 *
 * One intra-op thread: with more, ONNX Runtime splits the trees of an ensemble by batch size, and a score's last bits
 * then depend on the batch it was in. More throughput comes from more processes.
 *
 * @throws UserError when the bytes are no ONNX model that can score such a row (`origin` names them).
 */
export async function openOnnxModel(
  bytes: Uint8Array,
  origin: string,
  spec: { input: string; output: string; width: number },
): Promise<OnnxModel> {
  const session = await createSession(bytes, origin)
  const model: OnnxModel = {
    score: async (input, rows) => {
      const tensor = new Tensor(
        'float32',
        input.length === rows * spec.width ? input : input.subarray(0, rows * spec.width),
        [rows, spec.width],
      )
      const { data } = (await session.run({ [spec.input]: tensor }, [spec.output]))[spec.output]
      if (!(data instanceof Float32Array) || data.length !== rows)
        throw new UserError(
          `${origin} gave ${data.length} values of type ${data.constructor.name} for ${rows} rows. Train it again with: fd train`,
        )
      return data
    },
    [Symbol.asyncDispose]: () => session.release(),
  }
  try {
    await model.score(new Float32Array(spec.width), 1)
  } catch (error) {
    await session.release()
    if (error instanceof UserError) throw error
    throw new UserError(
      `${origin} cannot score a row of ${spec.width} features: ${errorMessage(error)}. Train it again with: fd train`,
      { cause: error },
    )
  }
  return model
}

async function createSession(bytes: Uint8Array, origin: string): Promise<InferenceSession> {
  try {
    return await openOnnxSession(bytes)
  } catch (error) {
    throw new UserError(
      `${origin} is not an ONNX model that ONNX Runtime can load: ${errorMessage(error)}. Train it again with: fd train`,
      { cause: error },
    )
  }
}
