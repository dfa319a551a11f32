import { UserError } from '../../configs/user-error.ts'
import type { EventBatch } from '../../datasets/table/transaction.ts'
import type { Mask } from '../expression/mask.ts'
import type { EventKind } from '../view/event-kinds.ts'
import { MAX_EVENTS } from '../view/view.ts'
import type { RowColumns } from '../window/ring-columns.ts'
import { planView, type PlanOptions, type WindowPlan } from '../window/window-plan.ts'
import { EventFold } from './event-fold.ts'
import type { DatasetColumns, FoldSettings } from './fold-settings.ts'
import type { ValueColumns } from './value-columns.ts'

/** How one kind of a view's events is folded. */
export interface KindSettings extends FoldSettings, Omit<PlanOptions, 'places'> {
  /** As in `EventFoldSettings`. */
  once?: boolean
}

/** The columns of the batch at hand. */
interface BatchColumns extends RowColumns {
  numbers: Float64Array[]
  codes: Uint32Array[]
}

const NONE: DatasetColumns = { numbers: new Map(), values: new Map() }

/** The fold of one kind of a view's events, and which rows of a batch are events of the kind. */
export class KindFold {
  readonly kind: EventKind
  readonly plan: WindowPlan
  readonly fold: EventFold
  readonly #columns: BatchColumns
  /** By number: its index in a batch. */
  readonly #indices: number[]
  readonly #values: ValueColumns
  readonly #mask: Mask | undefined
  /** By row of the batch at hand, where there is a condition: 1 where it is true. */
  #holds = new Uint8Array(0)

  /** @throws UserError for features that cannot be computed over these columns. */
  constructor(kind: EventKind, settings: KindSettings, values: ValueColumns) {
    const { view, places, where } = kind
    const { columns = NONE } = settings
    this.kind = kind
    this.plan = planView(view, { ...settings, places })
    const { numbers = [], values: names = [] } = this.plan.columns
    const found = numbers.map((name) => columns.numbers.get(name) ?? missing(view.name, 'numeric column', name))
    const dictionaries = names.map((name) =>
      values.add(name, columns.values.get(name) ?? missing(view.name, 'categorical column or entity', name)),
    )
    this.#indices = found.map(({ index }) => index)
    this.#columns = { row: 0, numbers: [], scales: Float64Array.from(found, ({ scale }) => scale), codes: [] }
    this.#values = values
    if (where !== undefined) this.#mask = settings.maskOf?.(where) ?? missing(view.name, 'condition', where)
    const { includesCurrent, maxEvents = MAX_EVENTS } = view
    const { plan } = this
    this.fold = new EventFold({ ...settings, plan, includesCurrent, maxEvents, row: this.#columns, dictionaries })
  }

  /** Whether events have columns of the dataset's own, or must meet a condition: then `open` is needed. */
  get reads(): boolean {
    return this.plan.aggregators.length > 0 || this.#mask !== undefined
  }

  /** Takes a batch, whose values are open. */
  open(batch: EventBatch): void {
    const { values = [] } = this.plan.columns
    this.#columns.numbers = this.#indices.map((index) => batch.numeric[index])
    this.#columns.codes = values.map((name) => this.#values.codes(name))
    if (this.#mask === undefined) return
    if (this.#holds.length < batch.size) this.#holds = new Uint8Array(batch.size)
    this.#mask(batch, this.#holds)
  }

  /** Turns to a row, and says whether it is an event of the kind, if it is a transaction. */
  turnTo(row: number, amount: number): boolean {
    this.#columns.row = row
    return amount < 0 === this.kind.refunds && (this.#mask === undefined || this.#holds[row] === 1)
  }
}

function missing(view: string, what: string, name: string): never {
  throw new UserError(`View "${view}" reads the ${what} "${name}", which is not there.`)
}
