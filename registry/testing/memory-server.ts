import { MlflowError } from '../mlflow/fault.ts'
import type { Metric, RunStatus } from '../model.ts'
import { RUN_NAME } from '../naming.ts'
import { logMetric, ordered, rootOf, wantedBy, wireMetric, wirePairs, wireRun, type StoredRun } from './memory-run.ts'

interface StoredExperiment {
  name: string
  tags: Map<string, string>
  time: number
}

interface StoredVersion {
  number: number
  description: string
  source: string
  run: string
  tags: Map<string, string>
  time: number
}

interface StoredModel {
  name: string
  description: string
  time: number
  tags: Map<string, string>
  aliases: Map<string, number>
  versions: Map<number, StoredVersion>
  next: number
}

/** What a call carries: the query of a GET, or a JSON body. */
export type Call = Record<string, unknown>

const INVALID = 'INVALID_PARAMETER_VALUE'
const MISSING = 'RESOURCE_DOES_NOT_EXIST'

/**
 * The state of an MLflow server and what its calls do to it, after MLflow 3.17. Each call is one transaction of its
 * database, with one exception: a model is read in two queries, its tags and its aliases, and a database that is not
 * serializable (PostgreSQL as MLflow uses it) lets a write come between them. So `modelInTwo` is two steps.
 *
 * Aliases and tags are overwritten without a word. A param is written once. The number of a version is never given
 * again. Nothing else is compared with what is there.
 */
export class MemoryMlflow {
  /** Told of each write to a tag of a model, before it. */
  onModelTag: (model: string, key: string, before: string | undefined, value: string | undefined) => void = () => {}
  readonly files = new Map<string, Uint8Array>()
  readonly #now: () => number
  readonly #experiments = new Map<string, StoredExperiment>()
  readonly #runs = new Map<string, StoredRun>()
  readonly #models = new Map<string, StoredModel>()

  constructor(now: () => number) {
    this.#now = now
    this.#experiments.set('0', { name: 'Default', tags: new Map(), time: now() })
  }

  /** The calls of the REST API, by method and path, that `registry/mlflow` makes. */
  readonly calls: Record<string, (call: Call) => object> = {
    'POST experiments/create': ({ name, tags }) => this.#createExperiment(text(name), pairs(tags)),
    'GET experiments/get': ({ experiment_id: id }) => ({ experiment: this.#experiment(text(id)) }),
    'GET experiments/get-by-name': ({ experiment_name: name }) => {
      const found = [...this.#experiments].find(([, each]) => each.name === name)
      return { experiment: this.#experiment(found?.[0] ?? text(name)) }
    },
    'POST experiments/search': () => ({ experiments: [...this.#experiments.keys()].map((id) => this.#experiment(id)) }),

    'POST runs/create': ({ experiment_id: id, start_time: start, tags }) =>
      this.#createRun(text(id), Number(start), pairs(tags)),
    'GET runs/get': ({ run_id: id }) => ({ run: wireRun(this.#run(id)) }),
    'POST runs/update': ({ run_id: id, status, end_time: end, run_name: name }) => {
      const run = this.#active(id)
      if (status !== undefined) run.status = status as RunStatus
      if (end !== undefined) run.end = Number(end)
      if (name !== undefined) run.tags.set(RUN_NAME, text(name))
      return {}
    },
    'POST runs/delete': ({ run_id: id }) => {
      this.#run(id).deleted = true
      return {}
    },
    'POST runs/set-tag': ({ run_id: id, key, value }) => written(this.#active(id).tags.set(text(key), text(value))),
    'POST runs/delete-tag': ({ run_id: id, key }) => {
      const { tags, id: run } = this.#active(id)
      if (!tags.delete(text(key))) throw refused(`No tag with name: ${text(key)} in run with id ${run}`, MISSING)
      return {}
    },
    'POST runs/log-parameter': ({ run_id: id, key, value }) =>
      this.#log(this.#active(id), new Map([[text(key), text(value)]])),
    'POST runs/log-batch': ({ run_id: id, params, tags, metrics }) => {
      const run = this.#active(id)
      this.#log(run, pairs(params))
      for (const [key, value] of pairs(tags)) run.tags.set(key, value)
      for (const metric of (metrics ?? []) as (Omit<Metric, 'value'> & { value: number | string })[])
        logMetric(run, { ...metric, value: Number(metric.value) })
      return {}
    },
    'POST runs/search': ({ experiment_ids: ids, filter, order_by: order, max_results: most }) => {
      const own = [...this.#runs.values()].filter(({ experiment }) => (ids as string[]).includes(experiment))
      const found = ordered(own.filter(wantedBy(text(filter))), order as string[])
      return { runs: found.slice(0, Number(most)).map(wireRun) }
    },
    'GET metrics/get-history': ({ run_id: id, metric_key: key }) => ({
      metrics: (this.#runs.get(text(id))?.metrics.get(text(key)) ?? []).map(wireMetric),
    }),
    'GET artifacts/list': ({ run_id: id, path = '' }) => ({ files: this.#list(this.#run(id), text(path)) }),

    'POST registered-models/create': ({ name, tags, description }) =>
      this.#createModel(text(name), pairs(tags), text(description)),
    'GET registered-models/search': () => ({ registered_models: [...this.#models.keys()].map((n) => this.#whole(n)) }),
    'POST registered-models/set-tag': ({ name, key, value }) => this.#setTag(name, text(key), text(value)),
    'DELETE registered-models/delete-tag': ({ name, key }) => this.#setTag(name, text(key), undefined),
    'POST registered-models/alias': ({ name, alias, version }) => {
      this.#version(name, version)
      return written(this.#model(name).aliases.set(text(alias), Number(version)))
    },
    'DELETE registered-models/alias': ({ name, alias }) => written(this.#model(name).aliases.delete(text(alias))),
    'GET registered-models/alias': ({ name, alias }) => {
      const version = this.#model(name).aliases.get(text(alias))
      if (version === undefined) throw refused(`Registered model alias ${text(alias)} not found.`, INVALID)
      return { model_version: this.#wireVersion(name, version) }
    },

    'POST model-versions/create': ({ name, source, run_id: run, description, tags }) => {
      const model = this.#model(name)
      const number = model.next++
      const version = { number, source: text(source), run: text(run), description: text(description) }
      model.versions.set(number, { ...version, tags: pairs(tags), time: this.#now() })
      return { model_version: this.#wireVersion(name, number) }
    },
    'GET model-versions/get': ({ name, version }) => ({ model_version: this.#wireVersion(name, version) }),
    'POST model-versions/set-tag': ({ name, version, key, value }) =>
      written(this.#version(name, version).tags.set(text(key), text(value))),
    'DELETE model-versions/delete': ({ name, version }) =>
      written(this.#model(name).versions.delete(this.#version(name, version).number)),
    // Aliases are left out, as a server does; what the filter would leave out is left to the client.
    'GET model-versions/search': () => ({
      model_versions: [...this.#models.values()].flatMap(({ name, versions }) =>
        [...versions.keys()].map((number) => ({ ...this.#wireVersion(name, number), aliases: [] })),
      ),
    }),
  }

  /** `registered-models/get` in the two steps in which it reads. */
  modelInTwo(name: unknown): [tags: () => object, aliases: () => object] {
    return [
      () => {
        const { name: own, description, time, tags, versions } = this.#model(name)
        const latest = versions.size === 0 ? [] : [{ version: String(Math.max(...versions.keys())) }]
        return { name: own, description, creation_timestamp: time, tags: wirePairs(tags), latest_versions: latest }
      },
      () => ({ aliases: [...this.#model(name).aliases].map(([alias, n]) => ({ alias, version: String(n) })) }),
    ]
  }

  #whole(name: string): object {
    const [tags, aliases] = this.modelInTwo(name)
    return { ...tags(), ...aliases() }
  }

  #createExperiment(name: string, tags: Map<string, string>): object {
    if ([...this.#experiments.values()].some((each) => each.name === name))
      throw refused(`Experiment '${name}' already exists.`, 'RESOURCE_ALREADY_EXISTS')
    const id = String(this.#experiments.size)
    this.#experiments.set(id, { name, tags, time: this.#now() })
    return { experiment_id: id }
  }

  #experiment(id: string): object {
    const { name, tags, time } = found(this.#experiments.get(id), `experiment ${id}`)
    return { experiment_id: id, name, tags: wirePairs(tags), creation_time: time, last_update_time: time }
  }

  #createRun(experiment: string, start: number, tags: Map<string, string>): object {
    found(this.#experiments.get(experiment), `experiment ${experiment}`)
    const id = String(this.#runs.size + 1).padStart(32, '0')
    if (!tags.has(RUN_NAME)) tags.set(RUN_NAME, `run-${this.#runs.size + 1}`)
    const own = { params: new Map<string, string>(), metrics: new Map<string, Metric[]>(), tags }
    this.#runs.set(id, { id, experiment, status: 'RUNNING', start, end: 0, deleted: false, ...own })
    return { run: wireRun(this.#run(id)) }
  }

  #run(id: unknown): StoredRun {
    return found(this.#runs.get(text(id)), `run ${text(id)}`)
  }

  /** A run that can be written: none that was deleted, which can only be read. */
  #active(id: unknown): StoredRun {
    const run = this.#run(id)
    if (run.deleted) throw refused(`The run ${run.id} must be in the 'active' state`, INVALID)
    return run
  }

  #log(run: StoredRun, params: Map<string, string>): object {
    for (const [key, value] of params)
      if ((run.params.get(key) ?? value) !== value) throw refused(`Changing param ${key} is not allowed`, INVALID)
    for (const [key, value] of params) run.params.set(key, value)
    return {}
  }

  #list(run: StoredRun, folder: string): object[] {
    const root = `${rootOf(run)}/${folder === '' ? '' : `${folder}/`}`
    const prefix = folder === '' ? '' : `${folder}/`
    const listed = new Map<string, object>()
    for (const [file, bytes] of this.files) {
      if (!file.startsWith(root)) continue
      const [name, ...below] = file.slice(root.length).split('/')
      const path = prefix + name
      listed.set(path, below.length > 0 ? { path, is_dir: true } : { path, is_dir: false, file_size: bytes.length })
    }
    return [...listed.values()]
  }

  #createModel(name: string, tags: Map<string, string>, description: string): object {
    if (this.#models.has(name))
      throw refused(`Registered Model (name=${name}) already exists.`, 'RESOURCE_ALREADY_EXISTS')
    const own = { aliases: new Map<string, number>(), versions: new Map<number, StoredVersion>(), next: 1 }
    this.#models.set(name, { name, description, time: this.#now(), tags, ...own })
    return { registered_model: this.#whole(name) }
  }

  #model(name: unknown): StoredModel {
    return found(this.#models.get(text(name)), `model ${text(name)}`)
  }

  #setTag(name: unknown, key: string, value: string | undefined): object {
    const model = this.#model(name)
    this.onModelTag(model.name, key, model.tags.get(key), value)
    if (value === undefined) model.tags.delete(key)
    else model.tags.set(key, value)
    return {}
  }

  #version(name: unknown, version: unknown): StoredVersion {
    return found(this.#model(name).versions.get(Number(version)), `version ${String(version)}`)
  }

  #wireVersion(name: unknown, version: unknown): object {
    const { number, description, source, run, tags, time } = this.#version(name, version)
    const aliases = [...this.#model(name).aliases].filter(([, holder]) => holder === number).map(([alias]) => alias)
    const times = { creation_timestamp: time, last_updated_timestamp: time }
    const wire = { name, version: String(number), description, source, run_id: run, tags: wirePairs(tags), aliases }
    return { ...wire, ...times, status: 'READY' }
  }
}

function pairs(list: unknown): Map<string, string> {
  return new Map(((list ?? []) as { key: string; value: string }[]).map(({ key, value }) => [key, value]))
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw refused(`No ${what}`, MISSING)
  return value
}

function refused(message: string, code: string): MlflowError {
  return new MlflowError(message, code)
}

/** The answer of a call that only writes, of which nothing is read. */
function written(result: unknown): object {
  return { result }
}
