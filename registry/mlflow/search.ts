import type { Run } from '../model.ts'
import { checkKey, checkMaxResults } from '../naming.ts'
import type { Registry, RunSearch } from '../registry.ts'
import type { MlflowClient } from './client.ts'
import { getExperiment } from './experiments.ts'
import { run } from './json.ts'
import { allPages } from './pages.ts'

/** MLflow's default: large enough to need few calls, small enough that a page is not minutes of work for it. */
const PAGE = 1_000

export function searchVerbs(client: MlflowClient): Pick<Registry, 'searchRuns'> {
  return {
    async searchRuns(experimentId, search = {}) {
      const { maxResults = 1000, filter = {}, orderBy } = search
      checkMaxResults(maxResults)
      if (orderBy !== undefined) checkKey('metric', orderBy.metric)
      await getExperiment(client, experimentId)
      const { conditions, whole } = filterOf(filter)
      const body = {
        experiment_ids: [experimentId],
        filter: conditions.join(' AND '),
        order_by:
          orderBy === undefined
            ? []
            : [`metrics.\`${orderBy.metric}\` ${orderBy.direction === 'ascending' ? 'ASC' : 'DESC'}`],
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

/**
 * The filter in MLflow's grammar. It has no way to write a value with both kinds of quote in it: such a condition is left to
 * the client.
 *
 * @returns `whole`: the server judges every condition.
 */
function filterOf({ status, tags = {}, params = {} }: NonNullable<RunSearch['filter']>): {
  conditions: string[]
  whole: boolean
} {
  for (const key of Object.keys(tags)) checkKey('tag', key)
  for (const key of Object.keys(params)) checkKey('param', key)
  const wanted = [
    ...Object.entries(tags).map(([key, value]) => ({ name: `tags.\`${key}\``, value })),
    ...Object.entries(params).map(([key, value]) => ({ name: `params.\`${key}\``, value })),
  ]
  const quotable = wanted.filter(({ value }) => quoted(value) !== undefined)
  const conditions = quotable.map(({ name, value }) => `${name} = ${quoted(value)}`)
  if (status !== undefined) conditions.unshift(`attributes.status = '${status}'`)
  return { conditions, whole: quotable.length === wanted.length }
}

/** Only what no parser of quotes reads differently: MLflow's takes a backslash, for one, as an escape in some places and not in others. */
function quoted(value: string): string | undefined {
  if (/[\\\n\r]/.test(value) || value === '') return undefined
  if (!value.includes("'")) return `'${value}'`
  return value.includes('"') ? undefined : `"${value}"`
}

function matches(found: Run, { status, tags = {}, params = {} }: NonNullable<RunSearch['filter']>): boolean {
  return (status === undefined || found.status === status) && has(found.tags, tags) && has(found.params, params)
}

function has(own: Record<string, string>, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(own, key) && own[key] === value)
}
