import { mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import { HANDBOOK_SCHEMA } from '../../datasets/published/handbook.ts'
import { featureService, projectServices } from '../catalog.ts'
import { checkService } from '../view/service-check.ts'
import { featureNames, serviceDigest } from '../view/view.ts'
import { count, each, service, view } from './builders.ts'
import { loadService } from './project-file.ts'

/** A project with these files in its folder of features. */
function project(files: Record<string, string>): { root: string; featureFolder: string } {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'fd-project-')))
  const featureFolder = join(root, 'features')
  writeFileIn(root, 'package.json', '{ "type": "module" }')
  for (const [name, text] of Object.entries(files)) writeFileIn(featureFolder, name, text)
  return { root, featureFolder }
}

function writeFileIn(folder: string, name: string, text: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, name), text)
}

const SHOP = `import { each, service, count, view } from 'fd/features'
import { windows } from './shared/windows.ts'

const velocity = (w: string) => ({ [\`n_\${w}\`]: count(w) })
export default service('shop', 'ours', [view('card', { entity: 'card' }, each(windows, velocity))])
`
const WINDOWS = `export const windows: string[] = ['10m', '1h']\n`

test('a file of a project runs as it is, with the builders of this fd', () => {
  const { root, featureFolder } = project({ 'shop.ts': SHOP, 'shared/windows.ts': WINDOWS })
  const own = service('shop', 'ours', [
    view(
      'card',
      { entity: 'card' },
      each(['10m', '1h'], (w) => ({ [`n_${w}`]: count(w) })),
    ),
  ])
  const loaded = loadService(join(featureFolder, 'shop.ts'), root)
  expect(loaded).toEqual(own)
  const config = { featureFolder, features: { maxEvents: 2 ** 20 } }
  expect(serviceDigest(featureService('shop', undefined, config))).toBe(serviceDigest(own))
  const limited = featureService('shop', undefined, { ...config, features: { maxEvents: 64 } })
  expect(limited.views[0]).toMatchObject({ maxEvents: 64 })
})

test('the definition that README shows is one, and fits the table that it is about', () => {
  const readme = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8')
  const [, text] = /```ts\n(import[^]*?)```/.exec(readme) ?? []
  const { root, featureFolder } = project({ 'payments.ts': text })
  const payments = loadService(join(featureFolder, 'payments.ts'), root)
  checkService(payments, HANDBOOK_SCHEMA, 'payments')
  expect(featureNames(payments)).toContain('times_usual')
})

test('the builders belong to the files of the project alone', () => {
  const elsewhere = project({ 'outside.ts': `export { count } from 'fd/features'\n` })
  const { root, featureFolder } = project({
    'shop.ts': `export { count as default } from '${join(elsewhere.featureFolder, 'outside.ts')}'\n`,
  })
  expect(() => loadService(join(featureFolder, 'shop.ts'), root)).toThrow(/Cannot find package 'fd'/)
})

test.each<[text: string, message: RegExp]>([
  [
    `import { count, service, view } from 'fd/features'\nexport default service('a', '', [\n` +
      `  view('card', { entity: 'card' }, { n: count('10x') }),\n])\n`,
    /\/shop\.ts:3:41: "10x" is no length of time: .*\n {2}3 \| {3}view\('card'.*\n {46}\^$/,
  ],
  [`export default {\n  a: 1,\n  b: = 3,\n}\n`, /\/shop\.ts:3: Expression expected\n.*\n.*\n {5}\^$/],
  [`import { cuont } from 'fd/features'\nexport default cuont\n`, /shop\.ts does not load: .*'fd\/features'.*cuont/],
  [`export { default } from './gone.ts'\n`, /shop\.ts does not load: Cannot find module .*gone\.ts.*with its ending/],
  [`const none: any = undefined\nexport default none.foo\n`, /\/shop\.ts:2:21: TypeError: .*foo/],
  [`export default await Promise.resolve(1)\n`, /a definition cannot wait/],
  [`export const shop = 1\n`, /shop\.ts exports no service\. Write: export default service/],
  [
    `export default { name: 'shop' }\n`,
    /shop\.ts is no definition of features:\n {2}the service, description is missing/,
  ],
  [`enum Kind { A }\nexport default Kind\n`, /shop\.ts:1: .*enum/],
])('a file that defines no service says why, and where: %#', (text, message) => {
  const { root, featureFolder } = project({ 'shop.ts': text })
  const loading = (): unknown => loadService(join(featureFolder, 'shop.ts'), root)
  expect(loading).toThrow(UserError)
  expect(loading).toThrow(message)
})

test('a name means one service; a broken file hides no other', () => {
  const named = (name: string): string => SHOP.replace(`'shop'`, `'${name}'`)
  const { featureFolder } = project({
    'a.ts': named('shop'),
    'b.ts': named('shop'),
    'c.ts': named('card-fraud'),
    'd.ts': named('attributes'),
    'e.ts': 'export default 5 +',
    'f.ts': named('other'),
    'f.test.ts': 'not read',
    'notes.md': 'not read',
    'shared/windows.ts': WINDOWS,
  })
  const files = projectServices({ featureFolder })
  const faults = files.flatMap((each) => ('fault' in each ? [each.fault.message] : []))
  expect(faults).toEqual([
    expect.stringContaining(`b.ts defines the service "shop", as ${join(featureFolder, 'a.ts')} does`),
    expect.stringContaining('c.ts defines the service "card-fraud", which comes with fd'),
    expect.stringContaining('d.ts defines the service "attributes", which comes with fd'),
    expect.stringContaining('e.ts:1: Expression expected'),
  ])
  const config = { featureFolder, features: { maxEvents: 2 ** 20 } }
  expect(featureService('other', undefined, config).name).toBe('other')
  expect(featureService('card-fraud', undefined, config).views).toHaveLength(3)
  expect(() => featureService('none', undefined, config)).toThrow(/b\.ts defines/)
})
