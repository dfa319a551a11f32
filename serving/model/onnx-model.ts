import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { UserError, errorMessage } from '../../configs/user-error.ts'
import { openOnnxSession } from '../../registry/onnx-session.ts'

/** A model that scores rows of features. */
export interface OnnxModel extends AsyncDisposable {
  /**
   * Scores the first `rows` rows of `input` (row-major float32). Resolves to `rows` scores, which do not depend on how
   * the rows were batched.
   */
  score(input: Float32Array, rows: number): Promise<Float32Array>
}

/** Names of the graph's input and output, and the number of features in a row. */
interface ModelSpec {
  input: string
  output: string
  width: number
}

/**
 * Loads an ONNX graph with input `input` `[N, width]` and output `output` `[N]` or `[N, 1]`.
 *
 * The session has one intra-op thread. With more, ONNX Runtime splits the trees of an ensemble by batch size, and the
 * last bits of a score then depend on the batch it was in. For more throughput, run more processes.
 *
 * @param origin names the model in error messages.
 * @throws UserError when the bytes are not an ONNX model that can score such a row.
 */
export async function openOnnxModel(bytes: Uint8Array, origin: string, spec: ModelSpec): Promise<OnnxModel> {
  const { width } = spec
  const session = await createSession(bytes, origin)
  const model: OnnxModel = {
    score: async (input, rows) => {
      const values = input.length === rows * width ? input : input.subarray(0, rows * width)
      const tensor = new Tensor('float32', values, [rows, width])
      const { data } = (await session.run({ [spec.input]: tensor }, [spec.output]))[spec.output]
      if (!(data instanceof Float32Array) || data.length !== rows) {
        throw new UserError(
          `${origin} gave ${data.length} values of type ${data.constructor.name} for ${rows} rows. ` +
            'Train it again with: fd train',
        )
      }
      return data
    },
    [Symbol.asyncDispose]: () => session.release(),
  }
  try {
    await model.score(new Float32Array(width), 1)
  } catch (error) {
    await session.release()
    if (error instanceof UserError) throw error
    throw new UserError(
      `${origin} cannot score a row of ${width} features: ${errorMessage(error)}. Train it again with: fd train`,
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
      `${origin} is not an ONNX model that ONNX Runtime can load: ${errorMessage(error)}. ` +
        'Train it again with: fd train',
      { cause: error },
    )
  }
}
