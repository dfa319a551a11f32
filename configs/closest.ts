/** How many letters a name may differ in and still be taken for a slip of the one that was meant. */
const MOST_SLIPS = 2

/** The known name that is most like an unknown one, upper and lower case alike; undefined where none is near. */
export function closest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  // In a short name two slips leave nothing of it.
  let least = Math.min(MOST_SLIPS, Math.floor(name.length / 2)) + 1
  for (const each of known) {
    const slips = editDistance(name.toLowerCase(), each.toLowerCase())
    if (slips < least) [best, least] = [each, slips]
  }
  return best
}

/** The least number of letters to insert, delete or replace that makes one text of the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1] + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1))
    }
    row = next
  }
  return row[to.length]
}
