import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, expect, test, vi } from 'vitest'
import { environmentWithHome, loadConfig, PROJECT_ROOT } from '../../configs/config.ts'
import { openDataset } from '../../datasets/catalog.ts'
import { openEventLog } from '../../datasets/open.ts'
import { randomStream } from '../../datasets/random/random.ts'
import { FRAUD_LABEL } from '../../datasets/table/transaction.ts'
import { backfill, type FeatureSink } from '../../features/backfill/backfill.ts'
import { cardFraud } from '../../features/definition/card-fraud.ts'
import { featureNames } from '../../features/view/view.ts'
import type { Prediction } from '../../serving/prediction.ts'
import { PREDICTIONS } from '../../serving/topics.ts'
import { runFd, type Ended } from '../console/fd-process.ts'
import { startedProcesses } from './started.ts'

/**
 * The README's step by step, typed with something left out: each option of each command, pairs of the options that
 * divide history from stream, a whole command; and each command typed twice. Whatever then is served must be right, or
 * a command has said that it is not, or there is nothing.
 */

// A variant types a dozen commands, one of them over a dataset of the default size.
vi.setConfig({ testTimeout: 900_000 })

/** The words of a command, without `npx fd`. */
type Command = readonly string[]
type Script = readonly Command[]

const text = await readFile(join(PROJECT_ROOT, 'README.md'), 'utf8')
const [, block] = /^## The same, step by step$.*?^```\n(.*?)^```$/ms.exec(text) ?? []
const README: Script = block
  .split('\n')
  .map((line) => line.replace(/#.*/, '').trim())
  .filter((line) => line !== '')
  .map((line) => line.replace(/^npx fd /, '').split(/\s+/))

/** The README's sizes are for a user's machine; these are quick. What is left out has its default. */
const SMALLER = new Map([
  ['--customers', '60'],
  ['--terminals', '100'],
])

function smaller(command: Command): Command {
  const words = command.map((word, i) => SMALLER.get(command[i - 1]) ?? word)
  return command[0] === 'train' ? [...words, '--param', 'rounds=5'] : words
}

interface Variant {
  name: string
  script: Script
}

/** Places of a script's options: the command, and the option's word in it. */
function optionsOf(script: Script): { command: number; word: number; option: string }[] {
  return script.flatMap((words, command) =>
    words.flatMap((option, word) => (option.startsWith('--') ? [{ command, word, option }] : [])),
  )
}

function without(script: Script, options: ReturnType<typeof optionsOf>): Script {
  return script.map((words, command) =>
    words.filter((word, i) => {
      const isValue = !word.startsWith('--') && words[i - 1]?.startsWith('--')
      return !options.some((gone) => gone.command === command && (gone.word === i || (isValue && gone.word === i - 1)))
    }),
  )
}

/** A command without its options. */
function nameOf(command: Command): string {
  return command.filter((word, i) => !word.startsWith('--') && !command[i - 1]?.startsWith('--')).join(' ')
}

function variantsOf(script: Script): Variant[] {
  const options = optionsOf(script)
  const dividers = options.filter(({ option }) => option === '--until' || option === '--from')
  const called = (gone: typeof options): string =>
    gone.map(({ command, option }) => `${nameOf(script[command])} without ${option}`).join(', ')
  const left = [
    ...options.map((option) => [option]),
    ...dividers.flatMap((one, i) => dividers.slice(i + 1).map((other) => [one, other])),
    dividers,
  ]
  return [
    ...left.map((gone) => ({ name: called(gone), script: without(script, gone) })),
    ...script.map((words, i) => ({ name: `no ${nameOf(words)}`, script: script.toSpliced(i, 1) })),
    ...script.map((words, i) => ({ name: `${nameOf(words)} twice`, script: script.toSpliced(i, 0, words) })),
  ]
}

const folder = await mkdtemp(join(tmpdir(), 'fd-step-by-step-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A home after some commands, and how they ended. It is never changed again. */
interface Place {
  home: string
  ended: Ended[]
}

const places = new Map<string, Promise<Place>>()

/** The home after these commands, one after the other. Scripts that begin alike have that home in common. */
function placeAfter(script: Script): Promise<Place> {
  const key = JSON.stringify(script)
  const known = places.get(key) ?? makePlace(script)
  places.set(key, known)
  return known
}

async function makePlace(script: Script): Promise<Place> {
  const home = await mkdtemp(join(folder, 'home-'))
  if (script.length === 0) return { home, ended: [] }
  const before = await placeAfter(script.slice(0, -1))
  await cp(before.home, home, { recursive: true })
  return { home, ended: [...before.ended, await runFd(home, smaller(script[script.length - 1]))] }
}

interface Outcome {
  ended: Ended[]
  predictions: Prediction[]
}

const isLive = ([command]: Command): boolean => ['score', 'produce', 'topics'].includes(command)

/**
 * Types a script. Commands run one after the other. Those in terminals of their own run until the stream was scored:
 * the scorer is stopped after the last event was sent, and whatever it has not scored by then is scored by another.
 */
async function typed(script: Script): Promise<Outcome> {
  const begin = script.findIndex(isLive)
  const end = script.findLastIndex(isLive) + 1
  const place = await placeAfter(script.slice(0, begin))
  const home = await mkdtemp(join(folder, 'live-'))
  await cp(place.home, home, { recursive: true })
  const ended = [...place.ended, ...(await live(home, script.slice(begin, end)))]
  for (const command of script.slice(end)) ended.push(await runFd(home, command))
  return { ended, predictions: await predictionsOf(home) }
}

async function predictionsOf(home: string): Promise<Prediction[]> {
  await using log = await openEventLog(`lmdb:${join(home, 'log')}`)
  const found: Prediction[] = []
  if (!(await log.topics()).some(({ name }) => name === PREDICTIONS)) return found
  for await (const { size, bytes, valueStart, valueEnd } of log.read(PREDICTIONS, 0)) {
    for (let i = 0; i < size; i++) found.push(JSON.parse(bytes.toString('utf8', valueStart[i], valueEnd[i])))
  }
  return found
}

async function live(home: string, script: Script): Promise<Ended[]> {
  await using started = startedProcesses()
  const scorers = []
  const ended: Ended[] = []
  for (const command of script) {
    if (command[0] === 'score') {
      const scorer = started.fd(home, command)
      scorers.push(scorer)
      // One that ends at once has said why.
      await scorer.says('Scoring with').catch(() => undefined)
    } else if (command[0] === 'produce') ended.push(await runFd(home, command))
  }
  for (const { child, ended: end } of scorers) {
    child.kill('SIGTERM')
    ended.push(await end)
  }
  if (scorers.length > 0) ended.push(await runFd(home, ['score', '--until-idle']))
  for (const command of script.filter(([name]) => name === 'topics')) ended.push(await readTopic(home, command))
  return ended
}

/** Reads a topic until nothing more comes: what is there was written before. */
async function readTopic(home: string, command: Command): Promise<Ended> {
  return runFd(
    home,
    command.filter((word) => word !== '--follow'),
  )
}

/**
 * The features of every transaction of the simulated file from README's beginning of the stream on, as one backfill of
 * the whole file has them: every event once, and no log, no online store and no seam in it.
 */
async function truth(script: Script): Promise<Map<number | string, Record<string, number>>> {
  const { home } = await placeAfter(script.filter(([name]) => name === 'datasets'))
  const dataset = await openDataset('simulated', loadConfig(undefined, environmentWithHome(home)))
  const produce = README.find(([name]) => name === 'produce') ?? []
  const from = Date.parse(produce[produce.indexOf('--from') + 1])
  const names = featureNames(cardFraud)
  const rows = new Map<number | string, Record<string, number>>()
  const sink: FeatureSink = {
    write: ({ kind, time, ids }, { values }) => {
      let next = 0
      kind.forEach((event, row) => {
        if (event === FRAUD_LABEL) return
        const first = next++ * names.length
        if (time[row] >= from) rows.set(ids[row], Object.fromEntries(names.map((name, f) => [name, values[first + f]])))
      })
    },
    close: () => Promise.resolve(),
  }
  await backfill(dataset, cardFraud, [sink])
  return rows
}

/** What is said of features that lack history, or of transactions that come too late. */
const WARNING = /no history \(fd features backfill|windows lack what lies between|neither in history nor in the log/

function warns({ stdout, stderr }: Ended): boolean {
  return WARNING.test(stderr) || WARNING.test(stdout)
}

test('the README, as it is typed, serves each transaction once, with the features of one backfill of all', async () => {
  const { ended, predictions } = await typed(README)
  for (const { code, stderr } of ended) expect(code, stderr).toBe(0)
  expect(README.length).toBeGreaterThanOrEqual(8)
  expect(served(predictions)).toEqual(await truth(README))
})

function served(predictions: Prediction[]): Map<number | string, unknown> {
  return new Map(predictions.map(({ transaction_id: id, features }) => [id, features]))
}

const SEED = 1
const AT_A_DESK = 3

/** All variants in CI. Elsewhere some, and none whose dataset has its default size. */
function chosen(variants: Variant[]): Variant[] {
  if (process.env['CI'] !== undefined) return variants
  const random = randomStream(SEED)
  const small = variants.filter(({ script }) => !script.some((words) => words[1] === 'simulate' && !isSmall(words)))
  return Array.from({ length: AT_A_DESK }, () => small.splice(random.integer(small.length), 1)).flat()
}

function isSmall(command: Command): boolean {
  return [...SMALLER.keys()].every((option) => command.includes(option))
}

test.each(chosen(variantsOf(README)))('$name', async ({ script }) => {
  const { ended, predictions } = await typed(script)
  const refusals = ended.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)
  // Every no says what to do, or what there is.
  for (const refusal of refusals) expect(refusal).toMatch(/\bfd [a-z]+|--[a-z]+|Topics: /)
  expect(new Set(predictions.map(({ transaction_id: id }) => id)).size).toBe(predictions.length)
  const isSaid = predictions.length === 0 ? refusals.length > 0 : ended.some(warns)
  expect(isSaid ? undefined : firstWrong(predictions, await truth(script))).toBeUndefined()
})

/** The first transaction that is not served as it should be. */
function firstWrong(predictions: Prediction[], right: Map<number | string, unknown>): object | undefined {
  const found = served(predictions)
  const wrong = [...new Set([...right.keys(), ...found.keys()])].find(
    (id) => !isDeepStrictEqual(found.get(id), right.get(id)),
  )
  return wrong === undefined ? undefined : { id: wrong, served: found.get(wrong), right: right.get(wrong) }
}
