import type { Scalar, Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core'
import { randomStream } from '../../datasets/random/random.ts'
import type { Dense } from './network.ts'
import { openTensorFlow, type TensorFlow } from './tensorflow.ts'

/** What a network learns from, one row after another, float32. */
export interface NetworkRows {
  rows: number
  /** Row-major, `inputs` wide. */
  x: Float32Array
  inputs: number
  /** Row-major, as wide as the last layer. */
  targets: Float32Array
}

/** The shape of a network and how it is fitted. */
export interface NetworkPlan {
  /** Width of each layer. All but the last end in max(0, ·). */
  widths: number[]
  epochs: number
  /** Rows a step. */
  batch: number
  learningRate: number
  /** Factor of the sum of the squared weights in the loss. */
  l2: number
  /** Mean loss of a batch's outputs against its targets. */
  loss(tensorflow: TensorFlow, outputs: Tensor2D, targets: Tensor2D): Scalar
  /**
   * The fit stops when the value has not risen for so many epochs, and keeps the network of the best epoch. With 0 it
   * never stops early and keeps the last network.
   */
  patience: number
  /** Called after each epoch (from 1). Resolves to the watched value, or NaN when nothing is watched. */
  epochEnd(epoch: number, layers: Dense[]): Promise<number>
}

/**
 * Fits layers by Adam (Kingma and Ba 2015) on batches of rows, shuffled anew each epoch. Weights start uniform within
 * ±√(6 / inputs) (He and others 2015), biases at 0. On the WebAssembly backend, the same rows, plan and seed give
 * the same layers. TensorFlow's C library may add in another order.
 */
export async function fitNetwork(data: NetworkRows, plan: NetworkPlan, seed: number): Promise<Dense[]> {
  const tensorflow = await openTensorFlow()
  const optimizer = tensorflow.train.adam(plan.learningRate)
  const parameters = startLayers(data.inputs, plan.widths, seed).map((layer) => parametersOf(tensorflow, layer))
  try {
    const best = { epoch: 0, value: -Infinity, layers: await readLayers(parameters) }
    for (let epoch = 1; epoch <= plan.epochs; epoch++) {
      for (const rows of batches(data.rows, plan.batch, seed, epoch)) {
        step(tensorflow, optimizer, parameters, data, plan, rows)
      }
      const layers = await readLayers(parameters)
      const value = await plan.epochEnd(epoch, layers)
      if (plan.patience === 0 || value > best.value) Object.assign(best, { epoch, value, layers })
      else if (epoch - best.epoch >= plan.patience) break
    }
    return best.layers
  } finally {
    for (const { weights, biases } of parameters) tensorflow.dispose([weights, biases])
    optimizer.dispose()
  }
}

/** A layer and the variables that Adam changes. */
interface Parameters {
  layer: Dense
  weights: Variable
  biases: Variable
}

/** Variables that start with the values of the layer. The tensors they are copied from are disposed. */
function parametersOf(tensorflow: TensorFlow, layer: Dense): Parameters {
  const variable = (start: Tensor): Variable => {
    const made = tensorflow.variable(start)
    start.dispose()
    return made
  }
  return {
    layer,
    weights: variable(tensorflow.tensor2d(layer.weights, [layer.inputs, layer.outputs])),
    biases: variable(tensorflow.tensor1d(layer.biases)),
  }
}

function startLayers(inputs: number, widths: number[], seed: number): Dense[] {
  const random = randomStream(seed, 0)
  return widths.map((outputs, at) => {
    const from = at === 0 ? inputs : widths[at - 1]
    const limit = Math.sqrt(6 / from)
    const weights = Float32Array.from({ length: from * outputs }, () => limit * (2 * random.uniform() - 1))
    return { inputs: from, outputs, weights, biases: new Float32Array(outputs), relu: at < widths.length - 1 }
  })
}

/** All row numbers in an order of the epoch's own (Fisher and Yates), one batch at a time. */
function* batches(rows: number, size: number, seed: number, epoch: number): Generator<Uint32Array> {
  const random = randomStream(seed, epoch)
  const order = Uint32Array.from({ length: rows }, (_, row) => row)
  for (let at = rows - 1; at > 0; at--) {
    const other = random.integer(at + 1)
    const row = order[at]
    order[at] = order[other]
    order[other] = row
  }
  for (let from = 0; from < rows; from += size) yield order.subarray(from, Math.min(from + size, rows))
}

/** TensorFlow.js's Adam optimizer. */
type Adam = ReturnType<TensorFlow['train']['adam']>

/** One step of the optimizer on the given rows. */
function step(
  tensorflow: TensorFlow,
  optimizer: Adam,
  parameters: Parameters[],
  data: NetworkRows,
  plan: NetworkPlan,
  rows: Uint32Array,
): void {
  tensorflow.tidy(() => {
    const x = tensorflow.tensor2d(gather(data.x, data.inputs, rows), [rows.length, data.inputs])
    const width = plan.widths[plan.widths.length - 1]
    const targets = tensorflow.tensor2d(gather(data.targets, width, rows), [rows.length, width])
    const variables = parameters.flatMap(({ weights, biases }) => [weights, biases])
    const cost = (): Scalar => {
      const loss = plan.loss(tensorflow, outputsOf(tensorflow, parameters, x), targets)
      return tensorflow.addN([loss, ...penalties(tensorflow, parameters, plan.l2)])
    }
    optimizer.minimize(cost, false, variables)
  })
}

function gather(matrix: Float32Array, width: number, rows: Uint32Array): Float32Array {
  const gathered = new Float32Array(rows.length * width)
  rows.forEach((row, at) => gathered.set(matrix.subarray(row * width, (row + 1) * width), at * width))
  return gathered
}

function outputsOf(tensorflow: TensorFlow, parameters: Parameters[], x: Tensor2D): Tensor2D {
  return parameters.reduce((input: Tensor2D, { layer, weights, biases }) => {
    const sum: Tensor2D = tensorflow.add(tensorflow.matMul(input, weights as Tensor2D), biases)
    return layer.relu ? tensorflow.relu(sum) : sum
  }, x)
}

function penalties(tensorflow: TensorFlow, parameters: Parameters[], l2: number): Scalar[] {
  return l2 === 0
    ? []
    : parameters.map(({ weights }) => tensorflow.mul<Scalar>(l2, tensorflow.sum(tensorflow.square(weights))))
}

async function readLayers(parameters: Parameters[]): Promise<Dense[]> {
  return Promise.all(
    parameters.map(async ({ layer, weights, biases }) => {
      const [learned, shifts] = await Promise.all([weights.data<'float32'>(), biases.data<'float32'>()])
      return { ...layer, weights: learned.slice(), biases: shifts.slice() }
    }),
  )
}
