import type { Run } from '../model.ts'
import { checkMaxResults, checkSearchKeys } from '../naming.ts'
import type { Registry, RunFilter, RunSearch } from '../registry.ts'
import type { MlflowClient } from './client.ts'
import { getExperiment } from './experiments.ts'
import { run } from './json.ts'
import { allPages } from './pages.ts'

/** MLflow's default: large enough for few calls, small enough that a page does not take the server minutes. */
const PAGE = 1_000

export function searchVerbs(client: MlflowClient): Pick<Registry, 'searchRuns'> {
  return {
    async searchRuns(experimentId, search = {}) {
      const { maxResults = 1000, filter = {}, orderBy } = search
      checkMaxResults(maxResults)
      checkSearchKeys(filter, orderBy?.metric)
      await getExperiment(client, experimentId)
      const { conditions, whole } = filterOf(filter)
      const body = {
        experiment_ids: [experimentId],
        filter: conditions.join(' AND '),
        order_by: orderOf(orderBy),
        max_results: whole ? Math.min(maxResults, PAGE) : PAGE,
      }
      const holds = (found: Run): boolean => whole || matches(found, filter)
      const found = await allPages(
        'runs',
        run,
        (schema, token) => client.send('POST', 'runs/search', { ...body, page_token: token }, schema),
        (sofar) => sofar.filter(holds).length >= maxResults,
      )
      return found.filter(holds).slice(0, maxResults)
    },
  }
}

/** MLflow puts numbers before NaN before runs without the metric, and the latest start first among equals. */
function orderOf(orderBy: RunSearch['orderBy']): string[] {
  if (orderBy === undefined) return []
  return [`metrics.\`${orderBy.metric}\` ${orderBy.direction === 'ascending' ? 'ASC' : 'DESC'}`]
}

/** A filter in MLflow's grammar. */
interface ServerFilter {
  conditions: string[]
  /** The server judges every condition. Otherwise the client judges its answers again. */
  whole: boolean
}

/** Conditions on values that `quoted` cannot write are left to the client. */
function filterOf({ status, tags = {}, params = {} }: RunFilter): ServerFilter {
  const wanted = [
    ...Object.entries(tags).map(([key, value]) => ({ name: `tags.\`${key}\``, value })),
    ...Object.entries(params).map(([key, value]) => ({ name: `params.\`${key}\``, value })),
  ]
  const quotable = wanted.filter(({ value }) => quoted(value) !== undefined)
  const conditions = quotable.map(({ name, value }) => `${name} = ${quoted(value)}`)
  if (status !== undefined) conditions.unshift(`attributes.status = '${status}'`)
  return { conditions, whole: quotable.length === wanted.length }
}

/**
 * A value as MLflow's grammar writes it; undefined for a value that a parser might read differently. MLflow takes a
 * backslash as an escape in some places and not in others, and has no way to write both kinds of quote in one value.
 */
function quoted(value: string): string | undefined {
  if (/[\\\n\r]/.test(value) || value === '') return undefined
  if (!value.includes("'")) return `'${value}'`
  return value.includes('"') ? undefined : `"${value}"`
}

function matches(found: Run, { status, tags = {}, params = {} }: RunFilter): boolean {
  return (status === undefined || found.status === status) && has(found.tags, tags) && has(found.params, params)
}

function has(own: Record<string, string>, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(own, key) && own[key] === value)
}
