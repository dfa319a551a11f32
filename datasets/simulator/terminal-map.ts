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
 * Places terminals at random and sorts them into cells as wide as the radius, so that all in reach of a place stand in
 * the 3 × 3 cells around it: three stretches of the sorted order. A draw takes any terminal of those and rejects one
 * that is too far. π / 9 of the area is near, so it takes three tries on average and needs no list of neighbours per
 * customer.
 */
export function terminalMap(terminals: number, radius: number, random: Random): TerminalMap {
  const grid = cellGrid(terminals, radius, random)
  return {
    reaches: (x, y) =>
      around(grid, x, y).some(([begin, length]) =>
        grid.order.subarray(begin, begin + length).some((terminal) => isNear(grid, terminal, x, y)),
      ),
    draw: (x, y, chance) => {
      const [above, level, below] = around(grid, x, y)
      for (;;) {
        let index = chance.integer(above[1] + level[1] + below[1])
        const [begin] = index < above[1] ? above : (index -= above[1]) < level[1] ? level : ((index -= level[1]), below)
        const terminal = grid.order[begin + index]
        if (isNear(grid, terminal, x, y)) return terminal
      }
    },
  }
}

/** Terminals sorted by cell. */
interface CellGrid {
  /** By terminal: its place. */
  x: Float64Array
  y: Float64Array
  radius: number
  /** Cells in a row, and rows. */
  side: number
  /** The terminals, cell after cell, row after row. */
  order: Int32Array
  /** By cell: where its terminals begin in `order`; one entry more, for the end of the last. */
  start: Int32Array
}

function cellGrid(terminals: number, radius: number, random: Random): CellGrid {
  const [x, y] = [new Float64Array(terminals), new Float64Array(terminals)]
  const side = Math.max(1, Math.floor(MAP_SIDE / radius))
  const start = new Int32Array(side * side + 1)
  for (let terminal = 0; terminal < terminals; terminal++) {
    random.restart(TERMINAL, terminal)
    x[terminal] = random.uniform() * MAP_SIDE
    y[terminal] = random.uniform() * MAP_SIDE
    start[stripOf(y[terminal], side) * side + stripOf(x[terminal], side) + 1]++
  }
  for (let cell = 0; cell < side * side; cell++) start[cell + 1] += start[cell]
  const order = new Int32Array(terminals)
  const next = start.slice()
  for (let terminal = 0; terminal < terminals; terminal++)
    order[next[stripOf(y[terminal], side) * side + stripOf(x[terminal], side)]++] = terminal
  return { x, y, radius, side, order, start }
}

/** The column of a coordinate x, or the row of a coordinate y. */
function stripOf(coordinate: number, side: number): number {
  return Math.min(side - 1, Math.floor((coordinate / MAP_SIDE) * side))
}

function isNear({ x, y, radius }: CellGrid, terminal: number, atX: number, atY: number): boolean {
  return (x[terminal] - atX) ** 2 + (y[terminal] - atY) ** 2 < radius * radius
}

/** A run of `order`. */
type Stretch = [begin: number, length: number]

/** The three stretches of the 3 × 3 cells around a place. */
function around(grid: CellGrid, x: number, y: number): [Stretch, Stretch, Stretch] {
  const [row, column] = [stripOf(y, grid.side), stripOf(x, grid.side)]
  return [stretch(grid, row - 1, column), stretch(grid, row, column), stretch(grid, row + 1, column)]
}

/** The cell of a row at `column` and its neighbours left and right; empty outside of the map. */
function stretch({ side, start }: CellGrid, row: number, column: number): Stretch {
  if (row < 0 || row >= side) return [0, 0]
  const begin = start[row * side + Math.max(0, column - 1)]
  return [begin, start[row * side + Math.min(side - 1, column + 1) + 1] - begin]
}
