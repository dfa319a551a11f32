import { z } from 'zod'
import { refuseNewer } from '../configs/format.ts'
import { UserError } from '../configs/user-error.ts'
import type { DatasetSchema } from '../datasets/table/dataset.ts'
import { TIME_UNITS } from '../datasets/table/time.ts'
import type { EpochMs } from '../datasets/table/transaction.ts'
import { DEFINITION, definitionTag, definitionTags } from './definition-tags.ts'
import type { ModelVersion, Tags } from './model.ts'

/** Names under which `fd` logs what the gates read. */
export const AVERAGE_PRECISION = 'average_precision'
/** Largest absolute difference between the trainer's scores and ONNX Runtime's on the holdout. */
export const ONNX_PARITY = 'onnx_parity'
/** The largest difference in proportion to the score. */
export const ONNX_RELATIVE_PARITY = 'onnx_relative_parity'

/** A tensor of the ONNX graph. */
export interface TensorSpec {
  name: string
  dtype: 'float32' | 'float64' | 'int64' | 'string'
  /** −1 leaves a dimension open: the rows of a batch. */
  shape: number[]
}

/** What the model reads and gives. The scorer refuses a model unless it computes exactly these `features`, in order. */
export interface Signature {
  /** Columns of the input tensor, in order. */
  features: string[]
  input: TensorSpec
  /**
   * The text input of the categories, '' where one is missing. Absent in a model without categories, and in one of an
   * earlier version, which reads codes in their columns of `input`.
   */
  categories?: TensorSpec
  outputs: TensorSpec[]
}

/** Event times of the first and the last of some rows; of a dataset without times, numbers of rows. */
export interface Period {
  from: EpochMs
  to: EpochMs
}

/** All that `fd` must know of a model version to serve it, to judge it and to make it again. */
export interface ModelCard {
  /**
   * The feature service that the model was trained for, the digest of its definition, the limit of its views where that
   * is not the default, and the definition itself as JSON, so that who serves the model needs no file of it. Absent in
   * versions from before cards recorded it: these are of services that come with fd.
   */
  service: { name: string; digest: string; maxEvents?: number | undefined; definition?: object | undefined }
  /** `digest`: of the file the model was trained on. */
  dataset: { name: string; digest: string; schema: DatasetSchema }
  /**
   * All rows that had a part in the model: those of the fit, of early stopping, of the calibration and of the choice
   * among candidates. No later row had one. Absent in versions from before cards recorded it.
   */
  training?: Period
  /**
   * The rows that the metrics were measured on. `digest`: of their ids, in order, and labels. Metrics are comparable
   * when the digests are equal. The period is absent in versions from before cards recorded it.
   */
  holdout: { digest: string; rows: number; period?: Period }
  signature: Signature
  /**
   * By feature that is a category: how many names the model knows. Any other counts as missing. Absent in models
   * without categories, and in versions from before cards recorded it.
   */
  dictionaries?: Record<string, number>
  /** A score at or above it is an alert. */
  threshold: number
  /** The budget that the threshold was chosen by. Absent in versions from before cards recorded it. */
  alertsPerDay?: number
  /**
   * Measured on the holdout. NaN and infinities survive the way through the tags. A metric that needs labels is absent
   * where there were none.
   */
  metrics: Record<string, number>
  /** Package version, git commit where there was one, and sources of the code that trained it. */
  codeVersion: string
}

const key = z.strictObject({ column: z.string(), type: z.enum(['integer', 'string']) })
/** Strict: a property that is not known here says how records are read, and whoever drops it reads them otherwise. */
const datasetSchema: z.ZodType<DatasetSchema> = z.strictObject({
  id: key.optional(),
  time: z.union([
    z.literal('none'),
    z.strictObject({
      column: z.string(),
      unit: z.enum(TIME_UNITS),
      origin: z.number().optional(),
      format: z.string().optional(),
      zone: z.string().optional(),
    }),
  ]),
  amount: z.strictObject({ column: z.string(), minorUnits: z.number().int().nonnegative() }),
  refunds: z.boolean().optional(),
  label: z
    .strictObject({ column: z.string(), delay: z.number().optional(), knownAt: z.string().optional() })
    .optional(),
  entities: z.array(
    z.union([
      key.extend({ name: z.string(), token: z.boolean().optional(), optional: z.boolean().optional() }),
      z.strictObject({ name: z.string(), of: z.array(z.string()) }),
    ]),
  ),
  numeric: z.array(z.string()),
  decimals: z.record(z.string(), z.number().int().nonnegative()).optional(),
  categorical: z.array(z.string()),
  missing: z.array(z.string()).optional(),
  numbers: z
    .strictObject({ decimal: z.enum(['.', ',']), thousands: z.enum(['.', ',', ' ', "'"]).optional() })
    .optional(),
})

const tensor = z.object({
  name: z.string().min(1),
  dtype: z.enum(['float32', 'float64', 'int64', 'string']),
  shape: z.array(z.number().int().min(-1)),
})
const signature: z.ZodType<Signature> = z.object({
  features: z.array(z.string()).min(1),
  input: tensor,
  categories: tensor.optional(),
  outputs: z.array(tensor).min(1),
})

/** The form of the card as a whole. A version registered before cards named their form has no such tag: form 1. */
const FORM_TAG = 'fd.card.form'
const FORM = 1

const METRIC = 'fd.metric.'

const text = z.string().min(1)

/** Tag → its reader. Each field has a tag, so that MLflow's UI shows it and a search finds versions by it. */
const TAGS = {
  'fd.service.name': text,
  'fd.service.digest': text,
  'fd.service.max_events': number().pipe(z.number().int().positive()).optional(),
  [DEFINITION]: json<object>(z.looseObject({})).optional(),
  'fd.dataset.name': text,
  'fd.dataset.digest': text,
  'fd.dataset.schema': json(datasetSchema),
  'fd.holdout.digest': text,
  'fd.holdout.rows': number().pipe(z.number().int().positive()),
  'fd.holdout.from': finite().optional(),
  'fd.holdout.to': finite().optional(),
  'fd.training.from': finite().optional(),
  'fd.training.to': finite().optional(),
  'fd.signature': json(signature),
  'fd.dictionaries': json(z.record(z.string(), z.number().int().nonnegative())).optional(),
  'fd.threshold': finite(),
  'fd.threshold.alerts_per_day': number().pipe(z.number().positive()).optional(),
  'fd.code.version': text,
}

const cardTags = z.object(TAGS)

/**
 * The card as tags of a model version: the fixed names above and one `fd.metric.NAME` a metric. Numbers are written as
 * ECMAScript prints them.
 */
export function modelCardTags(card: ModelCard): Tags {
  const { training, alertsPerDay, dictionaries } = card
  const { maxEvents, definition } = card.service
  const fixed: Partial<Record<keyof typeof TAGS | typeof FORM_TAG, string>> = {
    [FORM_TAG]: String(FORM),
    'fd.service.name': card.service.name,
    'fd.service.digest': card.service.digest,
    ...(maxEvents === undefined ? {} : { 'fd.service.max_events': String(maxEvents) }),
    'fd.dataset.name': card.dataset.name,
    'fd.dataset.digest': card.dataset.digest,
    'fd.dataset.schema': JSON.stringify(card.dataset.schema),
    'fd.holdout.digest': card.holdout.digest,
    'fd.holdout.rows': String(card.holdout.rows),
    ...periodTags('fd.holdout', card.holdout.period),
    ...periodTags('fd.training', training),
    'fd.signature': JSON.stringify(card.signature),
    ...(dictionaries && { 'fd.dictionaries': JSON.stringify(dictionaries) }),
    'fd.threshold': String(card.threshold),
    ...(alertsPerDay === undefined ? {} : { 'fd.threshold.alerts_per_day': String(alertsPerDay) }),
    'fd.code.version': card.codeVersion,
  }
  const metrics = Object.entries(card.metrics).map(([name, value]) => [METRIC + name, String(value)] as const)
  return { ...fixed, ...definitionTags(definition), ...Object.fromEntries(metrics) }
}

/**
 * Reads the card back; `readModelCard({ …, tags: modelCardTags(card) })` equals `card`.
 *
 * @throws UserError when a newer `fd` wrote the card, or when tags are missing or wrong, because another tool
 * registered the version. The message names those tags.
 */
export function readModelCard(version: Pick<ModelVersion, 'name' | 'version' | 'tags'>): ModelCard {
  refuseNewer(
    Number(version.tags[FORM_TAG] ?? FORM),
    FORM,
    `The card of version ${version.version} of "${version.name}"`,
    `Or train with this one: fd train --register ${version.name}`,
  )
  const parsed = cardTags.safeParse({ ...version.tags, ...definitionTag(version.tags) })
  const metrics = z.record(z.string(), number()).safeParse(metricTags(version.tags))
  if (!parsed.success || !metrics.success) {
    const error = parsed.error ?? metrics.error
    throw new UserError(
      `Version ${version.version} of "${version.name}" does not carry what fd needs to serve it:\n` +
        `${error === undefined ? '' : z.prettifyError(error)}\n` +
        `Register it with: fd train --register ${version.name}`,
    )
  }
  const tags = parsed.data
  const training = periodOf(tags['fd.training.from'], tags['fd.training.to'])
  const period = periodOf(tags['fd.holdout.from'], tags['fd.holdout.to'])
  const alertsPerDay = tags['fd.threshold.alerts_per_day']
  const dictionaries = tags['fd.dictionaries']
  return {
    service: readService(tags),
    dataset: { name: tags['fd.dataset.name'], digest: tags['fd.dataset.digest'], schema: tags['fd.dataset.schema'] },
    ...(training && { training }),
    holdout: { digest: tags['fd.holdout.digest'], rows: tags['fd.holdout.rows'], ...(period && { period }) },
    signature: tags['fd.signature'],
    ...(dictionaries && { dictionaries }),
    threshold: tags['fd.threshold'],
    ...(alertsPerDay === undefined ? {} : { alertsPerDay }),
    metrics: metrics.data,
    codeVersion: tags['fd.code.version'],
  }
}

function readService(tags: z.infer<typeof cardTags>): ModelCard['service'] {
  const { 'fd.service.max_events': maxEvents, [DEFINITION]: definition } = tags
  return {
    name: tags['fd.service.name'],
    digest: tags['fd.service.digest'],
    ...(maxEvents === undefined ? {} : { maxEvents }),
    ...(definition && { definition }),
  }
}

function periodTags(name: 'fd.training' | 'fd.holdout', period: Period | undefined): Tags {
  return period === undefined ? {} : { [`${name}.from`]: String(period.from), [`${name}.to`]: String(period.to) }
}

function periodOf(from: EpochMs | undefined, to: EpochMs | undefined): Period | undefined {
  return from === undefined || to === undefined ? undefined : { from, to }
}

function metricTags(tags: Tags): Tags {
  return Object.fromEntries(
    Object.entries(tags).flatMap(([key, value]) => (key.startsWith(METRIC) ? [[key.slice(METRIC.length), value]] : [])),
  )
}

function json<T>(schema: z.ZodType<T>): z.ZodType<T> {
  return z
    .string()
    .transform((value, context): unknown => {
      try {
        return JSON.parse(value)
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        context.addIssue({ code: 'custom', message: `not JSON: ${error.message}` })
        return z.NEVER
      }
    })
    .pipe(schema)
}

function finite(): z.ZodType<number, string> {
  return number().pipe(z.number())
}

/** A number as `String(number)` prints it. NaN and infinities are read; pipe it into `z.number()` to refuse them. */
function number(): z.ZodType<number, string> {
  return z.string().transform((value, context) => {
    const parsed = value.trim() === '' ? Number.NaN : Number(value)
    if (Number.isNaN(parsed) && value !== 'NaN') {
      context.addIssue({ code: 'custom', message: `not a number: "${value}"` })
    }
    return parsed
  })
}
