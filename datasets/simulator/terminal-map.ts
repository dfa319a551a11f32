import type { Random } from '../random/random.ts'

/** Customers and terminals stand on a square of this side. */
export const MAP_SIDE = 100

/** Counter of the terminals' random streams. */
const TERMINAL = 0

/** Terminals on the map, found by place: those at a distance strictly below the radius are in reach. */
export interface TerminalMap {
  /** Whether any terminal is in reach. */
  reaches(x: number, y: number): boolean
  /** One of those in reach, each equally likely; there must be one (it would not return). */
  draw(x: number, y: number, random: Random): number
}

/**
 * Places terminals at random and sorts them into cells as wide as the radius, so that all in reach of a place stand in the 3 × 3 cells
 * around it: three stretches of the sorted order. A draw takes any of those and rejects what is too far (π / 9 of the area is near, so
 * three tries on average), which needs no list of neighbours for each customer.
 */
export function terminalMap(terminals: number, radius: number, random: Random): TerminalMap {
  const [x, y] = [new Float64Array(terminals), new Float64Array(terminals)]
  const side = Math.max(1, Math.floor(MAP_SIDE / radius))
  const cellOf = (place: number): number => Math.min(side - 1, Math.floor((place / MAP_SIDE) * side))
  const start = new Int32Array(side * side + 1)
  for (let terminal = 0; terminal < terminals; terminal++) {
    random.restart(TERMINAL, terminal)
    x[terminal] = random.uniform() * MAP_SIDE
    y[terminal] = random.uniform() * MAP_SIDE
    start[cellOf(y[terminal]) * side + cellOf(x[terminal]) + 1]++
  }
  for (let cell = 0; cell < side * side; cell++) start[cell + 1] += start[cell]
  const order = new Int32Array(terminals)
  const next = start.slice()
  for (let terminal = 0; terminal < terminals; terminal++)
    order[next[cellOf(y[terminal]) * side + cellOf(x[terminal])]++] = terminal

  const near = (terminal: number, atX: number, atY: number): boolean =>
    (x[terminal] - atX) ** 2 + (y[terminal] - atY) ** 2 < radius * radius
  /** Begin and length of the stretch of a row of cells around column `column`. */
  const stretch = (row: number, column: number): [begin: number, length: number] => {
    if (row < 0 || row >= side) return [0, 0]
    const begin = start[row * side + Math.max(0, column - 1)]
    return [begin, start[row * side + Math.min(side - 1, column + 1) + 1] - begin]
  }
  const around = (atX: number, atY: number): [number, number][] => {
    const [row, column] = [cellOf(atY), cellOf(atX)]
    return [stretch(row - 1, column), stretch(row, column), stretch(row + 1, column)]
  }
  return {
    reaches: (atX, atY) =>
      around(atX, atY).some(([begin, length]) =>
        order.subarray(begin, begin + length).some((terminal) => near(terminal, atX, atY)),
      ),
    draw: (atX, atY, chance) => {
      const [above, level, below] = around(atX, atY)
      for (;;) {
        let index = chance.integer(above[1] + level[1] + below[1])
        const [begin] = index < above[1] ? above : (index -= above[1]) < level[1] ? level : ((index -= level[1]), below)
        const terminal = order[begin + index]
        if (near(terminal, atX, atY)) return terminal
      }
    },
  }
}
