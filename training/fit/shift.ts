/**
 * What must be added to margins so that their probabilities on these rows add up to the frauds there: the likeliest
 * shift, the margins given.
 *
 * It takes the weight of frauds in the loss out of a model's scores again. In theory that weight adds its logarithm to
 * each log-odds (Elkan 2001). But leaves are pulled towards 0 and rounds are few, so margins fall short of it, and to
 * subtract the logarithm would take out more than the weight has put in.
 *
 * @param margins log-odds of the rows.
 * @param y 1 for a fraud, 0 for a genuine row; there are both.
 */
export function fittedShift(margins: Float32Array, y: Uint8Array): number {
  const frauds = y.reduce((sum, label) => sum + label, 0)
  const expected = (shift: number): number =>
    margins.reduce((sum, margin) => sum + 1 / (1 + Math.exp(-margin - shift)), 0)
  const [least, most] = margins.reduce(
    ([low, high], margin) => [Math.min(low, margin), Math.max(high, margin)],
    [Infinity, -Infinity],
  )
  const room = Math.log(margins.length) + 1
  let [low, high] = [-most - room, room - least]
  while (high - low > PRECISE * Math.max(1, Math.abs(low))) {
    const middle = (low + high) / 2
    if (expected(middle) > frauds) high = middle
    else low = middle
  }
  return (low + high) / 2
}

const PRECISE = 1e-9
