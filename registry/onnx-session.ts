import { InferenceSession } from 'onnxruntime-node'

/**
 * Opens a session in which a score depends on its row alone.
 *
 * Everything runs on one thread. With more, ONNX Runtime splits the trees of an ensemble by the size of the batch, and
 * the last bits of a score then depend on the batch it was in. Throughput comes from more processes. Training and
 * serving both score here, so the score that was judged is the score that decides.
 *
 * @throws what ONNX Runtime throws when `graph` is no model that it can load.
 */
export function openOnnxSession(graph: Uint8Array): Promise<InferenceSession> {
  return InferenceSession.create(graph, {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  })
}
