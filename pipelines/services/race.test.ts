import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { credentialsFile, readCredentials } from '../../configs/credentials.ts'
import { exclusively } from './process.ts'

const folder = mkdtempSync(join(tmpdir(), 'fd-race-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A module that waits for the file `go`, so that all processes of a test begin together. */
const TOGETHER = `
  import { appendFileSync, existsSync } from 'node:fs'
  import { setTimeout as sleep } from 'node:timers/promises'
  const [module, place, go] = process.argv.slice(1)
  const own = await import(module)
  process.stdout.write('ready')
  while (!existsSync(go)) await sleep(1)
`

/** Runs a program in several processes at once. @returns what each printed after it was ready, and how it ended. */
async function race(program: string, file: string, place: string, racers: number): Promise<[string, number | null][]> {
  const go = join(folder, `go-${Math.random()}`)
  const flags = ['--input-type=module', '--disable-warning=ExperimentalWarning', '--eval', TOGETHER + program]
  const children = Array.from({ length: racers }, () => {
    const child = spawn(process.execPath, [...flags, join(import.meta.dirname, file), place, go], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    const ready = once(
      child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text)),
      'data',
    )
    const ended = once(child, 'close') as Promise<[number | null]>
    return {
      ready: Promise.race([ready, ended]),
      end: ended.then(([code]) => [said.slice('ready'.length), code] as const),
    }
  })
  await Promise.all(children.map(({ ready }) => ready))
  writeFileSync(go, '')
  return Promise.all(children.map(async ({ end }) => [...(await end)]))
}

/** Has its turn twice. In the second it is killed: whoever comes next finds a lock that nobody holds any more. */
const TURNS = `
  for (const last of [false, true]) {
    await own.exclusively(place, async () => {
      appendFileSync(place + '/turns', 'in ' + process.pid + '\\n')
      await sleep(10)
      appendFileSync(place + '/turns', 'out ' + process.pid + '\\n')
      if (last) process.kill(process.pid, 'SIGKILL')
    })
  }
`

test('of many who want a server for themselves one has it at a time, however often one dies with it', async () => {
  const place = mkdtempSync(join(folder, 'lock-'))
  const ended = await race(TURNS, 'process.ts', place, 6)
  expect(ended.map(([, code]) => code)).toEqual(Array.from({ length: 6 }, () => null))
  const turns = readFileSync(join(place, 'turns'), 'utf8').trim().split('\n')
  expect(turns).toHaveLength(24)
  for (let i = 0; i < turns.length; i += 2) expect(turns[i + 1]).toBe(turns[i].replace('in', 'out'))
})

test('within one process, too, and an action that fails lets the next one in', async () => {
  const place = mkdtempSync(join(folder, 'lock-'))
  let inside = 0
  const turns = await Promise.allSettled(
    Array.from({ length: 4 }, (_, n) =>
      exclusively(place, async () => {
        expect(++inside).toBe(1)
        await new Promise((resolve) => setImmediate(resolve))
        inside--
        if (n % 2 === 0) throw new Error('failed')
      }),
    ),
  )
  expect(turns.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled'])
})

const DRAW = `process.stdout.write(JSON.stringify(await own.makeCredentials(place)))`

test.each([
  ['are none', {}],
  ['are some, of an older fd', { REDIS_PASSWORD: 'kept', OF_THE_USER: 'kept too' }],
])('of many who draw secrets where there %s all have the same, and keep what is there', async (_, before) => {
  const home = mkdtempSync(join(folder, 'home-'))
  const lines = Object.entries(before).map(([name, secret]) => `${name}=${secret}\n`)
  mkdirSync(dirname(credentialsFile(home)))
  if (lines.length > 0) writeFileSync(credentialsFile(home), lines.join(''))
  const drawn = await race(DRAW, 'credentials.ts', home, 4)
  expect(drawn.map(([, code]) => code)).toEqual(Array.from({ length: 4 }, () => 0))
  const secrets = drawn.map(([text]) => JSON.parse(text) as Record<string, string>)
  const kept = readCredentials(home)
  for (const each of secrets) expect(kept).toMatchObject(each)
  expect(kept).toMatchObject(before)
  expect((statSync(credentialsFile(home)).mode & 0o777).toString(8)).toBe('600')
})
