/**
 * `npm run mutate [-- SUBJECT …]`: changes the code that the promises rest on, a place at a time, and asks whether a
 * test notices. A mutant that lives is a rule that nothing guards. A subject is a group of files with the tests that
 * must guard it by themselves. Ends with 1 where a subject is not guarded, as `outcome.ts` says.
 *
 * Reports: `.fd/mutation/SUBJECT.json` and `.html`, with every mutant; a table on standard output.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { Stryker } from '@stryker-mutator/core'
import { isGuarded, outcomeOf, type Outcome } from './outcome.ts'

interface Subject {
  readonly files: readonly string[]
  /** A mutant is switched on in the test's own process: tests that start others only cost. */
  readonly tests: readonly string[]
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  fold: {
    files: ['features/fold/*.ts'],
    tests: [
      'features/fold/*.test.ts',
      'features/definition/attributes.test.ts',
      'features/backfill/expressions.test.ts',
    ],
  },
  expression: {
    files: ['features/expression/*.ts'],
    tests: [
      'features/expression/*.test.ts',
      'features/backfill/expressions.test.ts',
      'features/definition/expression-faults.test.ts',
    ],
  },
  chain: {
    files: ['features/chain/*.ts'],
    tests: ['features/chain/*.test.ts', 'serving/testing/simulation.test.ts'],
  },
  scorer: {
    files: ['serving/scorer/*.ts', 'serving/model/champion.ts'],
    tests: [
      'serving/scorer/{backlog,batch,checkpointer,committer,resume,stage,stages}.test.ts',
      'serving/testing/simulation.test.ts',
      'pipelines/testing/champion.test.ts',
    ],
  },
  events: {
    files: ['datasets/log/event-{json,field}.ts'],
    tests: ['datasets/log/event-json.test.ts'],
  },
  cells: {
    files: ['datasets/table/{time,time-format,time-zone,amount,number-form,key}.ts'],
    tests: [
      'datasets/table/{time,amount,key}.test.ts',
      'datasets/written-time.test.ts',
      'features/expression/clock.test.ts',
    ],
  },
  promotion: { files: ['registry/promotion/*.ts'], tests: ['registry/promotion/*.test.ts'] },
  metrics: { files: ['training/metrics/*.ts'], tests: ['training/metrics/*.test.ts'] },
}

async function examine(subject: string, { files, tests }: Subject): Promise<Outcome> {
  const report = `.fd/mutation/${subject}`
  const configFile = resolve(`${report}.vitest.ts`)
  mkdirSync(dirname(configFile), { recursive: true })
  // Stryker has an option for the tests, but a mutant that is met before any test is put to all of the project's.
  writeFileSync(
    configFile,
    "import { mutationConfig } from '../../pipelines/mutation/test-config.ts'\n" +
      `export default mutationConfig(${JSON.stringify(tests)})\n`,
  )
  const results = await new Stryker({
    mutate: [...files, '!**/*.{test,contract,bench}.ts'],
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner'],
    vitest: { configFile, related: false },
    // Version 7 of TypeScript has no API that Stryker could rewrite a configuration with: it is given no file.
    tsconfigFile: 'none.json',
    coverageAnalysis: 'perTest',
    reporters: ['progress-append-only', 'json', 'html', 'clear-text'],
    clearTextReporter: { logTests: false, reportTests: false, reportScoreTable: false, allowColor: false },
    jsonReporter: { fileName: `${report}.json` },
    htmlReporter: { fileName: `${report}.html` },
    tempDirName: `${report}.sandbox`,
    ignorePatterns: ['.fd'],
    // A run goes on from the last one: only what changed in the code or in its tests is asked again.
    incremental: true,
    incrementalFile: `${report}.incremental.json`,
    concurrency: availableParallelism(),
    // Endless loops are found by counting their turns. A slow machine must not pass for a test that noticed.
    timeoutMS: 30_000,
    timeoutFactor: 3,
  }).runMutationTest()
  return outcomeOf(
    subject,
    results.map(({ status }) => status),
  )
}

const asked = process.argv.slice(2)
const unknown = asked.filter((subject) => !Object.hasOwn(SUBJECTS, subject))
if (unknown.length > 0) {
  process.stderr.write(`No subject ${unknown.join(', ')}. Subjects: ${Object.keys(SUBJECTS).join(', ')}\n`)
  process.exit(2)
}
const outcomes: Outcome[] = []
for (const subject of asked.length > 0 ? asked : Object.keys(SUBJECTS))
  outcomes.push(await examine(subject, SUBJECTS[subject]))
console.table(outcomes)
if (!outcomes.every(isGuarded)) process.exitCode = 1
