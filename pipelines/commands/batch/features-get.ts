import { Command, InvalidArgumentError } from 'commander'
import { UserError } from '../../../configs/user-error.ts'
import type { EventLog } from '../../../datasets/log/event-log.ts'
import type { AskedKeys } from '../../../features/asked-keys.ts'
import type { OnlineRow, StateOfKey } from '../../../features/online.ts'
import type { GroupState, OnlineStore } from '../../../features/store/online-store.ts'
import type { FeatureService } from '../../../features/view/view.ts'
import { withNext } from '../../console/command-line.ts'
import { action, dateTime, example, type Context } from '../../console/command.ts'
import { count, instant, pairs, table } from '../../console/output.ts'
import { openLog, openStore } from '../../console/parts.ts'

/** The keys of one entity, as `--entity` gives them. */
interface EntityKeys {
  entity: string
  keys: string[]
}

interface GetOptions {
  service: string
  entity?: EntityKeys[]
  keys?: string
  group?: string
  at?: number
}

export function getCommand(): Command {
  return example(
    new Command('get')
      .description(
        'features of entities in the online store, as a transaction at that time would find them, itself not counted',
      )
      .requiredOption('--service <name>', 'feature service')
      .option(
        '--entity <entity=key>',
        'an entity and its key, or keys with commas between them; once more for another entity of the same ' +
          'rows. A key with a comma stands in double quotes',
        entityKeys,
      )
      .option('--keys <file>', 'CSV or Parquet of keys: a column for each entity, a row for each answer')
      .option('--group <group>', 'state as this scorer group has it')
      .option('--at <date>', 'as of this event time (default: the newest the store has seen)', dateTime),
    'fd features get --service card-fraud --entity customer=42',
    'fd features get --service card-fraud --entity customer=1,2,3 --entity terminal=7 --at 2018-07-10T12:00:00',
    'fd features get --service card-fraud --keys keys.csv --json',
  ).action(action(get))
}

async function get({ config, output, fd }: Context, options: GetOptions): Promise<void> {
  const [{ featureService }, { onlineRows, unknownKeys }, { askableEntities, withCompounds }, { TRANSACTIONS }] =
    await Promise.all([
      import('../../../features/catalog.ts'),
      import('../../../features/online.ts'),
      import('../../../features/asked-keys.ts'),
      import('../../../serving/topics.ts'),
    ])
  const service = featureService(options.service, undefined, config)
  checkAsked(options)
  await using log = await openLog(config, output.note)
  await using store = await openStore(config, output.note)
  const group = options.group ?? config.scorer.group
  const states = await stateFinder(log, store, service, group)
  const { checkpoint, base } = await store.group(service.name, { group, topic: TRANSACTIONS, partition: 0 })
  const schema = checkpoint?.schema ?? base.schema
  const asked = withCompounds(service, schema, await askedKeys(options, askableEntities(service, schema)))
  const { at, rows } = await onlineRows(service, asked, states, options.at)
  const unknown = unknownOf(rows)
  if (rows.every((row) => row.unknown.length === Object.keys(row.keys).length)) {
    throw unknownKeys(service, shownUnknown(unknown))
  }
  if (unknown.length > 0) output.note(`The online store has no ${shownUnknown(unknown)}.`)
  const incomplete = [...new Set(rows.flatMap((row) => row.incomplete))]
  if (incomplete.length > 0) output.note(incompleteLine(incomplete, at))
  const next = fd('features', 'join', {
    dataset: 'NAME',
    service: service.name,
    labels: 'FRAME.csv',
    out: 'FRAME.parquet',
  })
  const single = options.keys === undefined && asked.length === 1 && options.entity?.length === 1
  if (single) return output.result(singleDocument(rows[0], at), () => withNext(singleText(rows[0], at), next))
  const document = rows.map((row) => ({ ...row, unknown: present(row.unknown), incomplete: present(row.incomplete) }))
  output.result({ at: instant(at), rows: document, unknown }, () => withNext(rowsText(rows, at), next))
}

/**
 * What a row asks for. Lists of keys of several entities are taken together, the first with the first; a single key
 * goes with every key of the others.
 */
async function askedKeys({ entity = [], keys }: GetOptions, entities: readonly string[]): Promise<AskedKeys[]> {
  if (keys !== undefined) {
    const { readKeyRows } = await import('../../../datasets/frame/key-rows.ts')
    return await readKeyRows(keys, entities).catch((error: unknown) => {
      // Readers of tables name the option of datasets.
      if (!(error instanceof UserError)) throw error
      throw new UserError(error.message.replaceAll('--data FILE', '--keys FILE'), { cause: error })
    })
  }
  const rows = Math.max(...entity.map((each) => each.keys.length))
  return Array.from({ length: rows }, (_, row) =>
    Object.fromEntries(entity.map((each) => [each.entity, each.keys[each.keys.length === 1 ? 0 : row]])),
  )
}

/** @throws UserError for options that do not say which rows are asked for. */
function checkAsked({ entity, keys }: GetOptions): void {
  if (entity !== undefined && keys !== undefined) throw new UserError('Give --entity or --keys, not both.')
  if (keys !== undefined) return
  if (entity === undefined) {
    throw new UserError('Say whose features: --entity customer=42, or a file of keys with --keys FILE.')
  }
  const twice = entity.find(({ entity: name }, e) => entity.findIndex((other) => other.entity === name) !== e)
  if (twice !== undefined) {
    throw new UserError(
      `--entity ${twice.entity} is given twice. Give its keys at once: --entity ${twice.entity}=1,2,3`,
    )
  }
  const rows = Math.max(...entity.map((each) => each.keys.length))
  const short = entity.find((each) => each.keys.length !== 1 && each.keys.length !== rows)
  if (short !== undefined) {
    const most = entity.find((each) => each.keys.length === rows)
    throw new UserError(
      `${rows} keys of ${most?.entity} and ${short.keys.length} of ${short.entity}: say which go together, ` +
        'as many of each or one for all. Or give a file with a column for each entity: --keys FILE',
    )
  }
}

/** `ENTITY=KEY`, `ENTITY=KEY,KEY` or `ENTITY="KEY","KEY"`, gathered over the options of a command line. */
function entityKeys(text: string, gathered: EntityKeys[] = []): EntityKeys[] {
  const equals = text.indexOf('=')
  if (equals <= 0 || equals === text.length - 1) {
    throw new InvalidArgumentError(`"${text}" is not ENTITY=KEY. For example: --entity customer=42`)
  }
  const keys = keyList(text.slice(equals + 1))
  if (keys.some((key) => key.trim() === '')) {
    throw new InvalidArgumentError(`"${text}" has an empty key. For example: --entity customer=1,2,3`)
  }
  return [...gathered, { entity: text.slice(0, equals), keys }]
}

/** JSON is told by its first character: texts in quotes, or lists, which are keys of entities of several columns. */
function keyList(text: string): string[] {
  if (!/^["[]/.test(text)) return text.split(',')
  try {
    const values = JSON.parse(`[${text}]`) as unknown[]
    return values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
  } catch {
    return text.split(',')
  }
}

/** Finds the state of a key, and opens each only once. */
async function stateFinder(
  log: EventLog,
  store: OnlineStore,
  service: FeatureService,
  group: string,
): Promise<StateOfKey> {
  const [{ statePlace }, { TRANSACTIONS }, topics] = await Promise.all([
    import('../../../features/chain/chain.ts'),
    import('../../../serving/topics.ts'),
    log.topics(),
  ])
  const open = new Map<string, Promise<GroupState>>()
  return (entity, key) => {
    const place = statePlace(topics, TRANSACTIONS, group, service, entity, key)
    const name = `${place.topic}/${place.partition}`
    const state = open.get(name) ?? store.group(service.name, place)
    open.set(name, state)
    return state
  }
}

interface UnknownKey {
  entity: string
  key: number | string
}

/** The keys that the store does not have, each once. */
function unknownOf(rows: readonly OnlineRow[]): UnknownKey[] {
  const found = rows.flatMap(({ keys, unknown }) => unknown.map((entity) => ({ entity, key: keys[entity] })))
  return [...new Map(found.map((each) => [`${each.entity}\0${each.key}`, each])).values()]
}

/** Keys that a message names. */
const MOST_NAMED = 10

function shownUnknown(unknown: readonly UnknownKey[]): string {
  const named = unknown.slice(0, MOST_NAMED).map(({ entity, key }) => `${entity} ${key}`)
  const more = unknown.length - named.length
  return named.join(', ') + (more > 0 ? ` and ${count(more)} more` : '')
}

function incompleteLine(views: readonly string[], at: number): string {
  return (
    `${instant(at)} lies more than an hour before the newest transaction of these keys: the windows of ` +
    `${views.join(', ')} may lack events that the store has let go. What was known then: fd features join`
  )
}

function singleDocument(row: OnlineRow, at: number): object {
  const [[entity, key]] = Object.entries(row.keys)
  return { entity, key, at: instant(at), features: row.features, incomplete: present(row.incomplete) }
}

function singleText({ keys, features }: OnlineRow, at: number): string {
  const [[entity, key]] = Object.entries(keys)
  return `${entity} ${key} at ${instant(at)}\n\n${pairs(Object.entries(features))}`
}

/** Undefined for an empty list, so that it is left out of the JSON. */
function present(names: string[]): string[] | undefined {
  return names.length > 0 ? names : undefined
}

/** A table of the rows: their keys, then their features. */
function rowsText(rows: readonly OnlineRow[], at: number): string {
  const entities = [...new Set(rows.flatMap(({ keys }) => Object.keys(keys)))]
  const features = [...new Set(rows.flatMap((row) => Object.keys(row.features)))]
  const cells = rows.map((row) => [
    ...entities.map((entity) => (row.keys[entity] === undefined ? '' : String(row.keys[entity]))),
    ...features.map((feature) => row.features[feature] ?? Number.NaN),
  ])
  return `at ${instant(at)}\n\n${table([...entities, ...features], cells)}`
}
