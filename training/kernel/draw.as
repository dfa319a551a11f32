// Draws of rows.

export function drawWords(state: usize, into: usize, start: i32, end: i32): void {
  let a = load<u32>(state)
  let b = load<u32>(state, 4)
  let c = load<u32>(state, 8)
  let weyl = load<u32>(state, 12)
  for (let i = <usize>start; i < <usize>end; i++) {
    const word = a + b + weyl++
    a = b ^ (b >> 9)
    b = c + (c << 3)
    c = rotl(c, 21) + word
    store<u32>(into + (i << 2), word)
  }
  store<u32>(state, a)
  store<u32>(state, b, 4)
  store<u32>(state, c, 8)
  store<u32>(state, weyl, 12)
}

export function drawBootstrap(
  bits: usize, times: usize, labels: usize, pairs: usize, rows: usize, sums: usize, start: i32, end: i32,
): i32 {
  let to = rows
  let sum: i64 = 0
  for (let row = <usize>start; row < <usize>end; row++) {
    const weight = <i64>load<u8>(times + <usize>load<u16>(bits + (row << 1)))
    const pair = weight | ((weight * <i64>load<u8>(labels + row)) << 32)
    store<i64>(pairs + (row << 3), pair)
    sum += pair
    // The row is always written, and only kept when drawn: a branch would be mispredicted for half the rows.
    store<u32>(to, <u32>row)
    to += <usize>((weight + 15) >> 4) << 2
  }
  store<i64>(sums, sum)
  return <i32>((to - rows) >> 2)
}

export function drawRows(bits: usize, below: u32, rows: usize, start: i32, end: i32): i32 {
  let drawn = rows + (<usize>start << 2)
  let left = rows + (<usize>end << 2) - 4
  for (let row = <usize>start; row < <usize>end; row++) {
    const isDrawn = <usize>((<u32>load<u16>(bits + (row << 1)) - below) >> 31)
    store<u32>(drawn, <u32>row)
    store<u32>(left, <u32>row)
    drawn += isDrawn << 2
    left -= (1 - isDrawn) << 2
  }
  return <i32>((drawn - rows) >> 2) - start
}
