import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { openRegistry } from '../open.ts'
import { registryContract } from '../registry.contract.ts'
import type { AliasMove, Registry, RegistryOptions } from '../registry.ts'
import { batchesOf } from './batch.ts'
import { authorization } from './credentials.ts'

/** A server that is meant for tests: they make models and experiments of random names in it, and delete them. */
const server = process.env.FD_TEST_MLFLOW_URL

/** A call of the REST API as any other client makes it. */
async function rest(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const init = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(`${server}/api/2.0/mlflow/${path}`, { method, ...init })
  return (await response.json()) as Record<string, unknown>
}

/**
 * Deletes the models and experiments whose names have the suffix, as far as the API can. Deleted experiments and runs
 * stay until `mlflow gc`.
 */
async function cleanUp(suffix: string): Promise<void> {
  const filter = `name LIKE '%${suffix}%'`
  const { registered_models: models = [] } = (await rest(
    'GET',
    `registered-models/search?max_results=100&filter=${encodeURIComponent(filter)}`,
  )) as { registered_models?: { name: string }[] }
  for (const { name } of models) await rest('DELETE', 'registered-models/delete', { name })
  const { experiments = [] } = (await rest('POST', 'experiments/search', { max_results: 100, filter })) as {
    experiments?: { experiment_id: string }[]
  }
  for (const { experiment_id: id } of experiments) await rest('POST', 'experiments/delete', { experiment_id: id })
}

const open = (url: string, options: Partial<RegistryOptions> = {}): Promise<Registry> =>
  openRegistry(url, { now: () => 1_000_000, patience: 500, ...options })

interface Front extends AsyncDisposable {
  url: string
  /** What was asked, in order: `GET runs/get`. */
  asked: string[]
}

/** Returns true when it has answered in place of the server. */
type Fault = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>

/** A real HTTP server that passes on to the real MLflow what the fault leaves. */
async function front(fault: Fault): Promise<Front> {
  const asked: string[] = []
  const listener: Server = createServer((request, response) => {
    asked.push(`${request.method} ${new URL(String(request.url), 'http://x').pathname.replace('/api/2.0/mlflow/', '')}`)
    const taken = fault(request, response)
    if (taken === true) return
    void Promise.resolve(taken).then((answered) => {
      if (!answered) handOn(request, response)
    })
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    async [Symbol.asyncDispose]() {
      listener.closeAllConnections()
      listener.close()
      await once(listener, 'close')
    },
  }
}

function handOn(request: IncomingMessage, response: ServerResponse): void {
  const onward = httpRequest(
    `${server}${request.url}`,
    { method: request.method, headers: request.headers },
    (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    },
  )
  // A connection that a fault cut is no error of this server. The client under test must notice it.
  onward.on('error', () => response.destroy())
  request.pipe(onward)
}

/** Gives every call this answer. */
const always =
  (status: number, body: string, headers: Record<string, string> = {}): Fault =>
  (_, response) => {
    response.writeHead(status, headers).end(body)
    return true
  }

/** The first `count` calls answer 503. */
function busyFor(count: number): Fault {
  let left = count
  return (_, response) => {
    if (left === 0) return false
    left--
    response.writeHead(503).end('busy')
    return true
  }
}

describe('without a server', () => {
  test('a server that is gone is named, with the next command', async () => {
    const { url } = await front(always(200, '')).then(async (closed) => {
      await closed[Symbol.asyncDispose]()
      return closed
    })
    await using registry = await open(`${url}/`)
    await expect(registry.getRun('a')).rejects.toThrow(UserError)
    await expect(registry.getRun('a')).rejects.toThrow(
      `The MLflow server at ${url} cannot be reached (ECONNREFUSED). ` +
        'Start it, or set MLFLOW_TRACKING_URI to another one, then run: fd doctor',
    )
  })

  test('an unknown host is named at once', async () => {
    await using registry = await open('http://no-such-host.invalid:5000', { patience: 60_000 })
    await expect(registry.searchExperiments()).rejects.toThrow(/no-such-host\.invalid:5000.*(ENOTFOUND|EAI_AGAIN)/)
  }, 90_000)

  test.each([
    [
      '401',
      always(401, 'You are not authenticated'),
      /does not accept these credentials \(401\).*MLFLOW_TRACKING_TOKEN/,
    ],
    [
      '403',
      always(403, '{"error_code":"PERMISSION_DENIED","message":"no"}'),
      /forbids GET experiments\/get-by-name.*\(403\)/,
    ],
    ['a web page', always(200, '<html>'), /is no MLflow 3 server.*MLFLOW_TRACKING_URI/],
    ['JSON of another kind', always(200, '{"hello":1}'), /is no MLflow 3 server/],
    ['404 of another server', always(404, '<html>'), /is no MLflow 3 server: it gave 404/],
    ['a redirect', always(302, '', { location: 'https://elsewhere/' }), /sends elsewhere: https:\/\/elsewhere\//],
    ['502 for ever', always(502, 'bad gateway'), /answers 502 to GET experiments\/get-by-name/],
    [
      'a refusal',
      always(400, '{"error_code":"INVALID_PARAMETER_VALUE","message":"odd"}'),
      /refused GET experiments\/get-by-name: odd/,
    ],
  ] as [string, Fault, RegExp][])('%s is a clear error', async (_, fault, message) => {
    await using other = await front(fault)
    await using registry = await open(other.url)
    await expect(registry.getExperimentByName('x')).rejects.toThrow(UserError)
    await expect(registry.getExperimentByName('x')).rejects.toThrow(message)
  })

  test('the password is in the header and in no message', async () => {
    const seen: (string | undefined)[] = []
    await using other = await front((request, response) => {
      seen.push(request.headers.authorization)
      return always(401, '')(request, response)
    })
    const host = other.url.slice('http://'.length)
    await using registry = await open(`http://ann:s%C3%A9cret@${host}`)
    await expect(registry.getRun('a')).rejects.toThrow(`${other.url} does not accept`)
    await using second = await open(other.url, { credentials: { token: 'abc' } })
    await expect(second.getRun('a')).rejects.toThrow(UserError)
    expect(seen).toEqual([`Basic ${Buffer.from('ann:sécret').toString('base64')}`, 'Bearer abc'])
  })

  test('URL before user and password before token', () => {
    const both = { username: 'u', password: 'p', token: 't' }
    expect(authorization('http://h:1/mlflow//', both)).toEqual({
      server: 'http://h:1/mlflow',
      header: `Basic ${Buffer.from('u:p').toString('base64')}`,
    })
    expect(authorization('http://a:b@h', both).header).toBe(`Basic ${Buffer.from('a:b').toString('base64')}`)
    expect(authorization('http://h', {})).toEqual({ server: 'http://h' })
    expect(() => authorization('http://h', { username: 'u' })).toThrow(/MLFLOW_TRACKING_PASSWORD/)
    expect(() => authorization('http://', {})).toThrow(UserError)
  })

  test('a lost race in the database of the server is tried again, another refusal is not', async () => {
    let answers = [always(400, '{"error_code":"BAD_REQUEST","message":"IntegrityError"}'), always(200, '{}')]
    await using other = await front((request, response) => answers.shift()?.(request, response) ?? false)
    await using registry = await open(other.url)
    await registry.setTag('a', 'k', 'v')
    expect(other.asked).toEqual(['POST runs/set-tag', 'POST runs/set-tag'])
    answers = [always(400, '{"error_code":"INVALID_PARAMETER_VALUE","message":"odd"}')]
    await expect(registry.setTag('a', 'k', 'v')).rejects.toThrow(/odd/)
  })

  async function createAndTagOverCutConnections(): Promise<void> {
    const missing = always(404, '{"error_code":"RESOURCE_DOES_NOT_EXIST"}')
    const answers: Fault = (request, response) => {
      if (request.method === 'GET') return missing(request, response)
      request.socket.destroy()
      return true
    }
    await using cutting = await front(answers)
    await using registry = await open(cutting.url)
    await expect(registry.createExperiment('x')).rejects.toThrow(/cannot be reached/)
    expect(cutting.asked.filter((call) => call === 'POST experiments/create')).toHaveLength(1)
    await expect(registry.setTag('a', 'k', 'v')).rejects.toThrow(/cannot be reached/)
    expect(cutting.asked.filter((call) => call === 'POST runs/set-tag').length).toBeGreaterThan(1)
  }
  test(
    'what makes something new is sent once when nobody knows whether it arrived, and again when it surely did not',
    createAndTagOverCutConnections,
  )

  test('batches keep to the limits of one call, and lose nothing', () => {
    const params = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`p${i}`, 'x'.repeat(6000)]))
    const tags = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`t${i}`, 'é'.repeat(8000)]))
    const metrics = Array.from({ length: 2500 }, (_, step) => ({
      key: 'm',
      value: step % 3 === 0 ? Number.NaN : step,
      timestamp: 1,
      step,
    }))
    const batches = batchesOf({ metrics, params, tags })
    for (const batch of batches) {
      expect(batch.params.length).toBeLessThanOrEqual(100)
      expect(batch.tags.length).toBeLessThanOrEqual(100)
      expect(batch.metrics.length + batch.params.length + batch.tags.length).toBeLessThanOrEqual(1000)
      expect(Buffer.byteLength(JSON.stringify({ run_id: 'a'.repeat(32), ...batch }))).toBeLessThanOrEqual(1_000_000)
    }
    expect(batches.flatMap((batch) => batch.params.map(({ key }) => key))).toEqual(Object.keys(params))
    expect(batches.flatMap((batch) => batch.tags.map(({ key }) => key))).toEqual(Object.keys(tags))
    expect(batches.flatMap((batch) => batch.metrics.map(({ step }) => step))).toEqual(metrics.map(({ step }) => step))
    expect(batchesOf({ metrics: [], params: {}, tags: {} })).toEqual([{ metrics: [], params: [], tags: [] }])
  })
})

describe.runIf(server !== undefined)('with an MLflow server (FD_TEST_MLFLOW_URL)', () => {
  registryContract('mlflow', async () => String(server), { shared: { cleanUp }, infinities: 'clamped' })

  describe('faults', () => {
    const suffix = `-${crypto.randomUUID()}`
    let home: string
    let runId: string
    beforeEach(async () => {
      await using registry = await open(String(server))
      home = await registry.createExperiment(`faults${suffix}`, { mayExist: true })
      runId = (await registry.createRun(home)).runId
    })
    afterAll(() => cleanUp(suffix))

    test('503 for a while, then fine: every call is done, once', async () => {
      await using slow = await front(busyFor(4))
      await using registry = await open(slow.url, { patience: 10_000 })
      const run = await registry.createRun(home)
      expect(slow.asked.filter((call) => call === 'GET experiments/get')).toHaveLength(5)
      expect((await registry.searchRuns(home)).filter((found) => found.runId === run.runId)).toHaveLength(1)
    })

    test('a server that cuts connections, before and after the work: metrics count once', async () => {
      let calls = 0
      await using cutting = await front((request) => {
        calls++
        if (calls % 3 === 0) request.socket.destroy()
        // The server gets the whole call, and its answer is lost.
        else if (calls % 3 === 1) request.on('end', () => setTimeout(() => request.socket.destroy(), 50))
        return calls % 3 === 0
      })
      await using registry = await open(cutting.url, { patience: 10_000 })
      for (let step = 0; step < 5; step++)
        await registry.logBatch(runId, { metrics: [{ key: 'm', value: step, step }], params: { [`p${step}`]: 'x' } })
      expect((await registry.getMetricHistory(runId, 'm')).map((metric) => metric.step)).toEqual([0, 1, 2, 3, 4])
      await registry.logArtifact(runId, 'model/a.bin', new Uint8Array(1_000_000).fill(7))
      expect(await registry.downloadArtifact(runId, 'model/a.bin')).toHaveLength(1_000_000)
    })

    test('a run whose writer was cut off while it ended the run is ended as that one meant', async () => {
      for (const lost of ['runs/set-tag', 'runs/update']) {
        const { runId } = await (await open(String(server))).createRun(home)
        await using cutting = await front((request) => {
          const cut = String(request.url).endsWith(lost)
          if (cut) request.socket.destroy()
          return cut
        })
        await using killed = await open(cutting.url, { patience: 0 })
        await expect(killed.endRun(runId, 'FINISHED', { reason: 'all done' })).rejects.toThrow(UserError)
        await using next = await open(String(server), { now: () => 2_000_000 })
        expect((await next.getRun(runId)).status).toBe('RUNNING')
        expect(await next.endRun(runId, 'KILLED', { reason: 'nobody there' })).toBe(false)
        const whole = { status: 'FINISHED', endTime: 1_000_000, tags: { 'fd.end.reason': 'all done' } }
        expect(await next.getRun(runId)).toMatchObject(whole)
      }
    })

    test('a batch beyond the limits of one call arrives whole, in several', async () => {
      await using counting = await front(() => false)
      await using registry = await open(counting.url)
      const params = Object.fromEntries(Array.from({ length: 230 }, (_, i) => [`p${i}`, String(i).repeat(1500)]))
      const tags = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`t${i}`, 'é'.repeat(7000)]))
      const metrics = Array.from({ length: 2300 }, (_, step) => ({ key: 'm', value: step / 7, step }))
      await registry.logBatch(runId, { params, tags, metrics })
      expect(counting.asked.filter((call) => call === 'POST runs/log-batch').length).toBeGreaterThan(3)
      const run = await registry.getRun(runId)
      expect(run.params).toEqual(params)
      expect(run.tags).toMatchObject(tags)
      expect(
        (await registry.getMetricHistory(runId, 'm')).map(({ step, value }) => ({ key: 'm', value, step })),
      ).toEqual(metrics)
    })

    test('the alias is asked once a look, whatever the server answers', async () => {
      await using down = await front(always(503, 'busy'))
      await using registry = await open(down.url, { patience: 10_000 })
      await expect(registry.aliasVersion('m', 'champion')).rejects.toThrow(/503/)
      expect(down.asked).toHaveLength(1)
    })

    test('an artifact that was changed in the store is refused, one of another tool is not', async () => {
      await using registry = await open(String(server))
      const { artifactUri } = await registry.getRun(runId)
      const place = `${server}/api/2.0/mlflow-artifacts/artifacts/${artifactUri.replace('mlflow-artifacts:/', '')}`
      await registry.logArtifact(runId, 'model/a.txt', Buffer.from('logged'))
      await fetch(`${place}/model/a.txt`, { method: 'PUT', body: 'forged' })
      await expect(registry.downloadArtifact(runId, 'model/a.txt')).rejects.toThrow(
        /"model\/a\.txt".*is not the file that was logged.*sha256/,
      )
      await fetch(`${place}/other.txt`, { method: 'PUT', body: 'other' })
      expect(String(Buffer.from(await registry.downloadArtifact(runId, 'other.txt')))).toBe('other')
      await expect(registry.logArtifact(runId, 'other.txt', Buffer.from('mine'))).rejects.toThrow(/other bytes/)
    })

    test('an artifact whose upload was cut short is written again', async () => {
      await using registry = await open(String(server))
      const { artifactUri } = await registry.getRun(runId)
      await registry.logArtifact(runId, 'a.txt', Buffer.from('the whole text'))
      await fetch(
        `${server}/api/2.0/mlflow-artifacts/artifacts/${artifactUri.replace('mlflow-artifacts:/', '')}/a.txt`,
        { method: 'PUT', body: 'the wh' },
      )
      await registry.logArtifact(runId, 'a.txt', Buffer.from('the whole text'))
      expect(String(Buffer.from(await registry.downloadArtifact(runId, 'a.txt')))).toBe('the whole text')
    })

    /** A model with two versions, and an entry of its history that stands for the second. */
    async function twoVersions(): Promise<{ name: string; entry: { key: string; value: string } }> {
      await using registry = await open(String(server))
      const name = `m-${crypto.randomUUID()}${suffix}`
      await registry.createRegisteredModel(name)
      await registry.logArtifact(runId, 'model/model.onnx', Buffer.from('graph'))
      const source = `runs:/${runId}/model`
      for (let index = 0; index < 2; index++) await registry.createModelVersion({ name, source })
      return { name, entry: { key: 'fd.history.000001', value: 'ours' } }
    }

    const move = (version: number, expected?: number): AliasMove => ({ alias: 'champion', expected, version })

    test('of two writers of the same entry one writes it, also when they write the same', async () => {
      await using registry = await open(String(server))
      await using other = await open(String(server))
      const { name, entry } = await twoVersions()
      const written = await Promise.all([registry, other].map((one) => one.addRegisteredModelTag(name, entry, move(2))))
      expect(written.filter(Boolean)).toHaveLength(1)
      expect((await registry.getRegisteredModel(name)).tags).toEqual({ [entry.key]: entry.value })
    })

    /** @returns what `registry` finds, and can still do, after a writer whose connection is cut after `calls` calls. */
    async function cutAfter(calls: number, registry: Registry): Promise<'done' | 'completed' | 'not begun'> {
      const { name, entry } = await twoVersions()
      let seen = 0
      await using cut = await front((request) => {
        if (++seen > calls) request.socket.destroy()
        return seen > calls
      })
      await using dying = await open(cut.url, { patience: 0 })
      const outcome = await dying.addRegisteredModelTag(name, entry, move(2)).catch(() => 'cut')
      const next = { key: entry.key, value: 'next' }
      const fresh = await registry.addRegisteredModelTag(name, next, move(1))
      // Refused, it completed what was begun. Then that must be all there.
      const refused = !fresh && !(await registry.addRegisteredModelTag(name, next, move(1)))
      expect(refused).toBe(!fresh)
      const { tags, aliases } = await registry.getRegisteredModel(name)
      expect({ tags, aliases }, `after ${calls} calls`).toEqual({
        tags: { [entry.key]: fresh ? 'next' : 'ours' },
        aliases: { champion: fresh ? 1 : 2 },
      })
      if (outcome === true) return 'done'
      return fresh ? 'not begun' : 'completed'
    }

    test('a writer cut off after any of its calls leaves its entry whole or not at all to the next one', async () => {
      await using registry = await open(String(server))
      const points = Array.from({ length: 30 }, (_, calls) => cutAfter(calls, registry))
      const found = await Promise.all(points)
      // In this order: each point that comes later finds more.
      const order = ['not begun', 'completed', 'done']
      expect(found).toEqual(found.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)))
      expect(new Set(found)).toEqual(new Set(order))
    }, 120_000)

    test('an entry that somebody deleted is put back by the next writer', async () => {
      await using registry = await open(String(server))
      const { name, entry } = await twoVersions()
      await registry.addRegisteredModelTag(name, entry, move(2))
      await rest('DELETE', 'registered-models/delete-tag', { name, key: entry.key })
      const again = { key: entry.key, value: 'forged' }
      expect(await registry.addRegisteredModelTag(name, again, move(1, 2))).toBe(false)
      expect((await registry.getRegisteredModel(name)).tags).toEqual({ [entry.key]: 'ours' })
    })

    test('what another tool did to the alias after a move is left alone', async () => {
      await using registry = await open(String(server))
      const { name, entry } = await twoVersions()
      await registry.addRegisteredModelTag(name, entry, move(2))
      await registry.setRegisteredModelAlias(name, 'champion', 1)
      const next = { key: 'fd.history.000002', value: 'next' }
      expect(await registry.addRegisteredModelTag(name, next)).toBe(true)
      expect(await registry.aliasVersion(name, 'champion')).toBe(1)
    })
  })
})
