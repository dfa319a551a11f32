import { cardTable } from './card-table.ts'
import { moneyTable } from './money-table.ts'
import { shopTable } from './shop-table.ts'
import { writeTable } from './table.ts'

/** Makes a table: `node pipelines/testing/projects/make-table.ts card|money|shop ROWS FILE.csv [SEED]`. */
const SHAPES = { card: cardTable, money: moneyTable, shop: shopTable }

const [shape, rows, file, seed = '1'] = process.argv.slice(2)
if (!Object.hasOwn(SHAPES, shape) || !(Number(rows) > 0) || file === undefined) {
  console.error('make-table.ts card|money|shop ROWS FILE.csv [SEED]')
  process.exit(2)
}
writeTable(file, SHAPES[shape as keyof typeof SHAPES]({ rows: Number(rows), seed: Number(seed) }))
