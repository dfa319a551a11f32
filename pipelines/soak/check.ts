import type { EventLog } from '../../datasets/log/event-log.ts'
import type { DeadLetter } from '../../serving/dead-letter.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { DEAD_LETTERS, PREDICTIONS, TRANSACTIONS } from '../../serving/topics.ts'
import { FIRST_TIMESTAMP, type SoakKind, type SoakStream } from './soak-stream.ts'

/** What came of a soak's records. All counts but the first five must be 0. */
export interface Outcome {
  records: number
  transactions: number
  labels: number
  /** Dead letters of records that are no events, and of transactions that came again. */
  bad: number
  repeats: number
  /** Records of the stream that are not in the log. */
  lost: number
  /** Transactions without a prediction, and records without the dead letter that is due. */
  unanswered: number
  /** Predictions or dead letters that are one too many for their record, or out of order. */
  surplus: number
  /** Those that do not say what is true of their record. */
  wrong: number
}

/** One record, valid until the next one. */
interface Cursor {
  offset: number
  timestamp: number
  value: Buffer
}

async function* recordsOf(log: EventLog, topic: string): AsyncGenerator<Cursor> {
  for await (const { size, offsets, timestamps, bytes, valueStart, valueEnd } of log.read(topic, 0)) {
    for (let i = 0; i < size; i++)
      yield { offset: offsets[i], timestamp: timestamps[i], value: bytes.subarray(valueStart[i], valueEnd[i]) }
  }
}

/** An output that names the record it answers. */
interface Answer {
  input: { offset: number }
}

/** The answers of one topic, in order. */
class Answers<T extends Answer> {
  readonly #records: AsyncGenerator<Cursor>
  #head: T | undefined
  surplus = 0

  constructor(log: EventLog, topic: string) {
    this.#records = recordsOf(log, topic)
  }

  /** The answer to a record, undefined when there is none. Those before it have been asked for, so they are surplus. */
  async to(offset: number): Promise<T | undefined> {
    for (;;) {
      this.#head ??= await this.#next()
      if (this.#head === undefined || this.#head.input.offset > offset) return undefined
      const answer = this.#head
      this.#head = undefined
      if (answer.input.offset === offset) return answer
      this.surplus++
    }
  }

  async #next(): Promise<T | undefined> {
    const { done, value } = await this.#records.next()
    return done === true ? undefined : (JSON.parse(value.value.toString('utf8')) as T)
  }
}

/** What is due to a record, and what came. */
interface Answered {
  kind: SoakKind
  id: number
  value: Buffer
  prediction: Prediction | undefined
  letter: DeadLetter | undefined
}

/**
 * Walks through the log of one partition beside its predictions and dead letters, which a scorer writes in the log's
 * order. Each transaction must have one prediction with its id, each bad record and each repeat one dead letter with
 * its bytes, and a label nothing. Holds one record of each topic, so a log may have any length.
 */
export async function checkOutcome(log: EventLog, stream: SoakStream): Promise<Outcome> {
  const none = { records: 0, transactions: 0, labels: 0, bad: 0, repeats: 0 }
  const outcome: Outcome = { ...none, lost: 0, unanswered: 0, surplus: 0, wrong: 0 }
  const predictions = new Answers<Prediction>(log, PREDICTIONS)
  const letters = new Answers<DeadLetter>(log, DEAD_LETTERS)
  let next = 0
  for await (const { offset, timestamp, value } of recordsOf(log, TRANSACTIONS)) {
    const n = timestamp - FIRST_TIMESTAMP
    outcome.records++
    // A producer that was killed between an append and its answer may have sent records again.
    const again = n < next
    if (n > next) outcome.lost += n - next
    next = Math.max(next, n + 1)
    const kind = again && stream.kind(n) === 'transaction' ? 'repeat' : stream.kind(n)
    const [prediction, letter] = [await predictions.to(offset), await letters.to(offset)]
    count(outcome, { kind, id: stream.id(n), value, prediction, letter })
  }
  // What is left answers no record.
  for (const answers of [predictions, letters]) {
    await answers.to(Infinity)
    outcome.surplus += answers.surplus
  }
  return outcome
}

function count(outcome: Outcome, { kind, id, value, prediction, letter }: Answered): void {
  if (kind === 'transaction') {
    if (prediction === undefined) outcome.unanswered++
    else if (prediction.transaction_id === id) outcome.transactions++
    else outcome.wrong++
  } else if (prediction !== undefined) outcome.wrong++
  if (kind === 'bad' || kind === 'repeat') {
    if (letter === undefined) outcome.unanswered++
    else if (isOf(letter, kind, value)) outcome[kind === 'bad' ? 'bad' : 'repeats']++
    else outcome.wrong++
  } else if (letter !== undefined) outcome.wrong++
  if (kind === 'label') outcome.labels++
}

/** Whether a dead letter is of these bytes, and says of a repeat that it is one. */
function isOf({ bytes, reason }: DeadLetter, kind: 'bad' | 'repeat', value: Buffer): boolean {
  return bytes === value.toString('base64') && /was here before/.test(reason) === (kind === 'repeat')
}
