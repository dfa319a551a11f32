import { stringify } from 'yaml'
import type { EpochMs } from '../datasets/table/transaction.ts'
import type { Signature, TensorSpec } from './model-card.ts'
import type { Registry } from './registry.ts'

/** The ONNX graph's name in a model folder. */
const MODEL_FILE = 'model.onnx'

/** The model's folder among the artifacts of its run. */
const MODEL_FOLDER = 'model'

/** From this environment and these requirements MLflow builds a Python in which to load the model. */
const PYTHON_ENVIRONMENT = {
  python: '3.11',
  build_dependencies: ['pip', 'setuptools', 'wheel'],
  dependencies: ['-r requirements.txt'],
}
const PYTHON_REQUIREMENTS = 'mlflow\nonnx\nonnxruntime\nnumpy\npandas\n'

export interface MlModel {
  runId: string
  /** Folder of the model in the run. */
  artifactPath: string
  signature: Signature
  /** Bytes of the ONNX graph. */
  size: number
  createdAt: EpochMs
}

/**
 * The text of `MLmodel`, by which MLflow recognises a model folder (format of MLflow 3.6), for an ONNX graph in
 * `model.onnx`. The flavor `python_function` is there so that `mlflow.pyfunc.load_model` loads the folder unchanged.
 *
 * - `signature` holds JSON texts inside YAML, because MLflow parses them itself and fails on lists.
 * - There is no `model_id`: MLflow would look up a logged model by it. The uuid is the run's id, as a run has one
 *   model.
 * - The names of the input's columns are in `metadata.fd.features`. A tensor signature has no place for them.
 */
export function mlModel({ runId, artifactPath, signature, size, createdAt }: MlModel): string {
  return stringify(
    {
      artifact_path: artifactPath,
      flavors: {
        onnx: { code: null, data: MODEL_FILE, onnx_session_options: null, providers: ['CPUExecutionProvider'] },
        python_function: { data: MODEL_FILE, env: { virtualenv: 'python_env.yaml' }, loader_module: 'mlflow.onnx' },
      },
      metadata: { fd: { features: signature.features } },
      model_size_bytes: size,
      model_uuid: runId,
      run_id: runId,
      signature: { inputs: tensors(inputsOf(signature)), outputs: tensors(signature.outputs), params: null },
      utc_time_created: new Date(createdAt).toISOString().replace('T', ' ').replace('Z', ''),
    },
    { lineWidth: 0 },
  )
}

function inputsOf({ input, categories }: Signature): TensorSpec[] {
  return categories === undefined ? [input] : [input, categories]
}

/** MLflow's JSON of tensors, each with its name. Their types are NumPy's, which calls text `str`. */
function tensors(specs: TensorSpec[]): string {
  return JSON.stringify(
    specs.map(({ name, dtype, shape }) => ({
      name,
      type: 'tensor',
      'tensor-spec': { dtype: dtype === 'string' ? 'str' : dtype, shape },
    })),
  )
}

/**
 * Logs a model folder to a run: `model.onnx`, the two files of its Python environment, and `MLmodel`.
 *
 * @returns the source for `register`: `runs:/RUN_ID/model`.
 */
export async function logOnnxModel(
  registry: Registry,
  runId: string,
  model: { onnx: Uint8Array; signature: Signature; now: EpochMs },
): Promise<string> {
  const { onnx, signature, now } = model
  const description = mlModel({ runId, artifactPath: MODEL_FOLDER, signature, size: onnx.byteLength, createdAt: now })
  const files = new Map<string, Uint8Array>([
    [MODEL_FILE, onnx],
    ['requirements.txt', Buffer.from(PYTHON_REQUIREMENTS)],
    ['python_env.yaml', Buffer.from(stringify(PYTHON_ENVIRONMENT))],
    // Last: a folder without MLmodel is not a model yet.
    ['MLmodel', Buffer.from(description)],
  ])
  for (const [name, bytes] of files) await registry.logArtifact(runId, `${MODEL_FOLDER}/${name}`, bytes)
  return modelSource(runId)
}

/** Where `logOnnxModel` puts a run's model: `runs:/RUN_ID/model`. */
export function modelSource(runId: string): string {
  return `runs:/${runId}/${MODEL_FOLDER}`
}
