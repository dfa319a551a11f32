/**
 * `npm run mutate [-- SUBJECT …]`: changes the code that the promises rest on, a place at a time, and asks whether a
 * test notices. A mutant that lives is a rule that nothing guards. A subject is a group of files with the tests that
 * must guard it by themselves. Ends with 1 where fewer than `LEAST` of 100 mutants of a subject are noticed.
 *
 * Reports: `.fd/mutation/SUBJECT.json` and `.html`, with every mutant; a table on standard output.
 */
import { availableParallelism } from 'node:os'
import { Stryker } from '@stryker-mutator/core'

const LEAST = 90

interface Subject {
  readonly files: readonly string[]
  /** The folder of the tests. A mutant is switched on in the test's own process: tests that start others only cost. */
  readonly tests: string
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  fold: { files: ['features/fold/*.ts'], tests: 'features/fold' },
  chain: { files: ['features/chain/*.ts'], tests: 'features/chain' },
  scorer: { files: ['serving/scorer/*.ts', 'serving/model/champion.ts'], tests: 'serving' },
  events: { files: ['datasets/log/event-{json,field}.ts'], tests: 'datasets/log' },
  cells: { files: ['datasets/table/{time,amount,key}.ts'], tests: 'datasets/table' },
  promotion: { files: ['registry/promotion/*.ts'], tests: 'registry/promotion' },
  metrics: { files: ['training/metrics/*.ts'], tests: 'training/metrics' },
}

/** The shares of mutants noticed, by state: those that end the test or its time count as noticed. */
interface Outcome {
  readonly subject: string
  readonly mutants: number
  readonly noticed: number
  readonly survived: number
  readonly untested: number
  readonly percent: number
}

async function examine(subject: string, { files, tests }: Subject): Promise<Outcome> {
  const report = `.fd/mutation/${subject}`
  const results = await new Stryker({
    mutate: [...files, '!**/*.{test,contract,bench}.ts'],
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner'],
    vitest: { configFile: 'pipelines/testing/mutation.vitest.ts', dir: tests, related: false },
    // Version 7 of TypeScript has no API that Stryker could rewrite a configuration with: it is given no file.
    tsconfigFile: 'none.json',
    coverageAnalysis: 'perTest',
    reporters: ['json', 'html', 'clear-text'],
    clearTextReporter: { logTests: false, reportTests: false, reportScoreTable: false, allowColor: false },
    jsonReporter: { fileName: `${report}.json` },
    htmlReporter: { fileName: `${report}.html` },
    tempDirName: '.fd/mutation/sandbox',
    concurrency: availableParallelism(),
    timeoutMS: 5_000,
    timeoutFactor: 2,
  }).runMutationTest()
  const having = (...states: string[]): number => results.filter(({ status }) => states.includes(status)).length
  const noticed = having('Killed', 'Timeout', 'RuntimeError')
  const survived = having('Survived')
  const untested = having('NoCoverage')
  const mutants = noticed + survived + untested
  return { subject, mutants, noticed, survived, untested, percent: Math.floor((1_000 * noticed) / mutants) / 10 }
}

const asked = process.argv.slice(2)
const outcomes: Outcome[] = []
for (const subject of asked.length > 0 ? asked : Object.keys(SUBJECTS)) {
  const found = SUBJECTS[subject]
  if (found === undefined) throw new Error(`no subject ${subject}: one of ${Object.keys(SUBJECTS).join(', ')}`)
  outcomes.push(await examine(subject, found))
}
console.table(outcomes)
if (outcomes.some(({ percent }) => percent < LEAST)) process.exitCode = 1
