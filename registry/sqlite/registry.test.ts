import { createHash, randomUUID } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { openRegistry } from '../open.ts'
import { linesOf, registryContract, startWriter } from '../registry.contract.ts'
import type { Registry } from '../registry.ts'
import { artifactVerbs } from './artifacts.ts'
import { openDatabase, type Database } from './database.ts'

const parent = mkdtempSync(join(tmpdir(), 'fd-registry-'))
afterAll(() => rmSync(parent, { recursive: true, force: true }))

function freshFolder(): string {
  return mkdtempSync(join(parent, 'r-'))
}

registryContract('sqlite:', async () => `sqlite:${freshFolder()}`)

test.each(['postgres://x', 'sqlite', 'sqlite:'])('URL %j has no driver', async (url) => {
  await expect(openRegistry(url, { now: () => 0 })).rejects.toThrow(/sqlite:FOLDER/)
})

describe('files of sqlite:', () => {
  let folder: string
  let file: string
  const open = (): Promise<Registry> => openRegistry(`sqlite:${folder}`, { now: () => 5 })

  beforeEach(() => {
    folder = freshFolder()
    file = join(folder, 'registry.db')
  })

  /** A run with some content, and the artifact's file on disk. */
  async function filled(): Promise<{ runId: string; artifact: string }> {
    await using registry = await open()
    const { runId, artifactUri } = await registry.createRun('0')
    await registry.logArtifact(runId, 'model/model.onnx', Buffer.from('the graph'))
    for (let step = 0; step < 200; step++) await registry.logBatch(runId, { params: { [`p${step}`]: 'x'.repeat(500) } })
    return { runId, artifact: join(fileURLToPath(artifactUri), 'model/model.onnx') }
  }

  test('a file that is no database is named', async () => {
    writeFileSync(file, 'not a database, but long enough to have a header of its own'.repeat(100))
    await expect(open()).rejects.toThrow(UserError)
    await expect(open()).rejects.toThrow(new RegExp(`${file} is damaged.*mv `))
  })

  test('a truncated database is named, when it is opened or when it is read', async () => {
    const { runId } = await filled()
    truncateSync(file, 4096 * 3)
    const read = async (): Promise<unknown> => {
      await using registry = await open()
      return registry.getRun(runId)
    }
    await expect(read()).rejects.toThrow(new RegExp(`${file} is damaged`))
  })

  test('a database with garbage in its pages is named', async () => {
    const { runId } = await filled()
    const bytes = readFileSync(file)
    writeFileSync(file, bytes.fill(7, Math.floor(bytes.length / 2)))
    await using registry = await open()
    await expect(registry.getRun(runId)).rejects.toThrow(new RegExp(`${file} is damaged.*\\.recover`))
  })

  test('a lost database does not become an empty registry beside its artifacts', async () => {
    await filled()
    rmSync(file)
    await expect(open()).rejects.toThrow(/missing or empty.*backup/)
  })

  test('a database of a newer fd is left alone', async () => {
    await filled()
    const database = new DatabaseSync(file)
    database.exec('PRAGMA user_version = 99')
    database.close()
    await expect(open()).rejects.toThrow(/schema 99.*newer fd/)
  })

  test('a folder that cannot be made is named', async () => {
    writeFileSync(join(folder, 'plain'), '')
    await expect(openRegistry(`sqlite:${join(folder, 'plain')}`, { now: () => 0 })).rejects.toThrow(
      /plain cannot be made/,
    )
  })

  test.runIf(process.getuid?.() !== 0)('a database without the right to write is named', async () => {
    const { runId } = await filled()
    chmodSync(file, 0o400)
    const write = async (): Promise<void> => {
      await using registry = await open()
      await registry.setTag(runId, 'a', 'b')
    }
    await expect(write()).rejects.toThrow(/cannot be written/)
  })

  test('a full database refuses in words and keeps what it had', async () => {
    const { runId } = await filled()
    const database = openDatabase(folder, 0)
    database.get(`PRAGMA max_page_count = ${Number(database.get('PRAGMA page_count')?.page_count)}`)
    const fill = (): void => {
      for (let index = 0; index < 1000; index++)
        database.write(() => database.run('INSERT INTO params VALUES (?, ?, ?)', runId, `q${index}`, 'x'.repeat(5000)))
    }
    expect(fill).toThrow(/is full; nothing was written/)
    expect(database.get('SELECT count(*) AS n FROM params WHERE key GLOB ?', 'p*')?.n).toBe(200)
    database.close()
  })

  test('an artifact with other bytes of the same length is refused', async () => {
    const { runId, artifact } = await filled()
    writeFileSync(artifact, 'the grapH')
    await using registry = await open()
    const logged = createHash('sha256').update('the graph').digest('hex')
    await expect(registry.downloadArtifact(runId, 'model/model.onnx')).rejects.toThrow(
      new RegExp(`${artifact} is not the file that was logged.*${logged}.*backup`),
    )
  })

  test('an artifact that is gone is named', async () => {
    const { runId, artifact } = await filled()
    rmSync(artifact)
    await using registry = await open()
    await expect(registry.downloadArtifact(runId, 'model/model.onnx')).rejects.toThrow(/it is gone/)
  })

  test('the row of an artifact is made after its file is in place, as a decision', async () => {
    const { runId, artifact } = await filled()
    const database = openDatabase(folder, 0)
    const done: string[] = []
    const watched: Database = {
      ...database,
      write: (body, kind) => {
        const result = database.write(body, kind)
        done.push(`written: ${kind}`)
        return result
      },
      run: (sql, ...values) => {
        if (sql.startsWith('INSERT INTO artifacts')) done.push(readFileSync(`${artifact}.2`, 'utf8'))
        return database.run(sql, ...values)
      },
    }
    await artifactVerbs(watched, folder, randomUUID).logArtifact(runId, 'model/model.onnx.2', Buffer.from('bytes'))
    expect(done).toEqual(['bytes', 'written: decision'])
    database.close()
  })

  test('a file that no row knows is no artifact, and gives way', async () => {
    const { runId, artifact } = await filled()
    copyFileSync(artifact, `${artifact}.2`)
    await using registry = await open()
    expect(await registry.listArtifacts(runId, 'model')).toHaveLength(1)
    await registry.logArtifact(runId, 'model/model.onnx.2', Buffer.from('new'))
    expect(String(Buffer.from(await registry.downloadArtifact(runId, 'model/model.onnx.2')))).toBe('new')
  })

  test('half-written files are swept a day later, and a write leaves none', async () => {
    await filled()
    const incoming = join(folder, 'artifacts', '.incoming')
    expect(readdirSync(incoming)).toEqual([])
    mkdirSync(incoming, { recursive: true })
    for (const [name, seconds] of [
      ['old', 1],
      ['new', DAY / 1000],
    ] as const) {
      writeFileSync(join(incoming, name), 'half')
      utimesSync(join(incoming, name), seconds, seconds)
    }
    await using _ = await openRegistry(`sqlite:${folder}`, { now: () => DAY + 2_000 })
    expect(readdirSync(incoming)).toEqual(['new'])
  })

  test('the history cannot be changed by any SQL', async () => {
    await using registry = await open()
    await registry.createRegisteredModel('m', { tags: { owner: 'ann' } })
    await registry.addRegisteredModelTag('m', { key: 'fd.history.000001', value: 'x' })
    const database = new DatabaseSync(file)
    const forgeries = [
      "UPDATE registered_model_tags SET value = 'y' WHERE key LIKE 'fd%'",
      "UPDATE OR REPLACE registered_model_tags SET value = 'y' WHERE key LIKE 'fd%'",
      "UPDATE OR REPLACE registered_model_tags SET key = 'fd.history.000001' WHERE key = 'owner'",
      "UPDATE registered_model_tags SET key = 'fd.history.000002' WHERE key = 'owner'",
      "UPDATE registered_model_tags SET key = 'other' WHERE key LIKE 'fd%'",
      'DELETE FROM registered_model_tags',
      "INSERT OR REPLACE INTO registered_model_tags VALUES ('m', 'fd.history.000001', 'y')",
      "REPLACE INTO registered_model_tags VALUES ('m', 'fd.history.000001', 'y')",
      "INSERT INTO registered_model_tags VALUES ('m', 'fd.history.000001', 'y') ON CONFLICT DO UPDATE SET value = 'y'",
    ]
    for (const sql of forgeries) expect(() => database.exec(sql), sql).toThrow(/append-only/)
    expect((await registry.getRegisteredModel('m')).tags).toEqual({ owner: 'ann', 'fd.history.000001': 'x' })
    database.exec("INSERT OR REPLACE INTO registered_model_tags VALUES ('m', 'owner', 'bob')")
    database.close()
  })

  test('the same clock and ids make the same registry', async () => {
    let id = 0
    await using registry = await openRegistry(`sqlite:${folder}`, {
      now: () => 7,
      newId: () => String(id++).padStart(32, '0'),
    })
    expect(await registry.createRun('0')).toMatchObject({
      runId: '0'.repeat(32),
      startTime: 7,
      runName: 'run-00000000',
    })
  })

  test.each([[[Number.NaN, -5]], [[-5, Number.NaN]]])(
    'of a number and NaN at one instant the number is the latest: %j',
    async (values) => {
      await using registry = await open()
      const { runId } = await registry.createRun('0')
      for (const value of values) await registry.logBatch(runId, { metrics: [{ key: 'm', value, timestamp: 1 }] })
      expect((await registry.getRun(runId)).metrics).toEqual({ m: -5 })
      expect((await registry.getMetricHistory(runId, 'm')).map((metric) => metric.value)).toEqual([Number.NaN, -5])
    },
  )

  test('several processes may make it at once', async () => {
    const children = Array.from({ length: 4 }, () => startWriter(`sqlite:${folder}`, 'metrics', '0', 'm', '0'))
    expect(await Promise.all(children.map((child) => linesOf(child)))).toEqual(children.map(() => ['open']))
    expect(existsSync(file)).toBe(true)
  })
})
