import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { UserError, errorMessage } from '../../configs/user-error.ts'
import type { ModelInput } from '../../features/chain/folded-batch.ts'
import { formerCategoryCode } from '../../features/view/category.ts'
import { openOnnxSession } from '../../registry/onnx-session.ts'

/** A model that scores rows of features. */
export interface OnnxModel extends AsyncDisposable {
  /**
   * Scores the rows of `input`, which may have room for more. Resolves to one score a row, which does not depend on how
   * the rows were batched.
   */
  score(input: ModelInput): Promise<Float32Array>
}

/** What a graph reads and gives. */
interface ModelSpec {
  /** Names of its input and output. */
  input: string
  output: string
  /** Features in a row. */
  width: number
  /** The features that are categories, in order. Default: none. */
  categorical?: readonly number[]
  /** Name of the input for their names. Absent: a graph of an earlier version, which reads codes among the features. */
  categories?: string
}

/**
 * Loads an ONNX graph with input `input` `[N, width]`, a text input of names where it reads categories, and output
 * `output` `[N]` or `[N, 1]`.
 *
 * The session has one intra-op thread. With more, ONNX Runtime splits the trees of an ensemble by batch size, and the
 * last bits of a score then depend on the batch it was in. For more throughput, run more processes.
 *
 * @param origin names the model in error messages.
 * @throws UserError when the bytes are not an ONNX model that can score such a row.
 */
export async function openOnnxModel(bytes: Uint8Array, origin: string, spec: ModelSpec): Promise<OnnxModel> {
  const { width, categorical = [] } = spec
  const session = await createSession(bytes, origin)
  const model: OnnxModel = {
    score: async (input) => {
      const { rows } = input
      const { data } = (await session.run(feeds(input, spec), [spec.output]))[spec.output]
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
    await model.score({ rows: 1, numbers: new Float32Array(width), categories: categorical.map(() => '') })
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

/** The graph's inputs. A graph of an earlier version finds each category's code in the category's column. */
function feeds({ rows, numbers, categories }: ModelInput, spec: ModelSpec): Record<string, Tensor> {
  const { width, categorical = [] } = spec
  let values = numbers.length === rows * width ? numbers : numbers.subarray(0, rows * width)
  if (categorical.length === 0) return { [spec.input]: new Tensor('float32', values, [rows, width]) }
  if (spec.categories !== undefined) {
    return {
      [spec.input]: new Tensor('float32', values, [rows, width]),
      [spec.categories]: new Tensor('string', categories, [rows, categorical.length]),
    }
  }
  values = values.slice()
  for (let row = 0, at = 0; row < rows; row++) {
    for (const feature of categorical) values[row * width + feature] = formerCategoryCode(categories[at++])
  }
  return { [spec.input]: new Tensor('float32', values, [rows, width]) }
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
