import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openRegistry } from '../../registry/open.ts'
import { commandLine, timeWord } from './command-line.ts'
import { modelName } from './model-name.ts'

test('the only registered model is meant; of several the error lists them, of none it gives the training', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fd-model-name-'))
  try {
    await using registry = await openRegistry(`sqlite:${folder}`, { now: Date.now })
    const find = (named?: string): Promise<string> => modelName(registry, named, (name) => `fd score --model ${name}`)
    await expect(find()).rejects.toThrow('No registered model yet. Run: fd train --dataset NAME --register card-fraud')
    await registry.createRegisteredModel('mine')
    expect(await find()).toBe('mine')
    expect(await find('other')).toBe('other')
    await registry.createRegisteredModel('also mine')
    await expect(find()).rejects.toThrow(
      'There are 2 registered models: also mine, mine. Say which one: fd score --model also mine',
    )
    for (let n = 0; n < 20; n++) await registry.createRegisteredModel(`m${n}`)
    await expect(find()).rejects.toThrow(/There are 22 registered models: (\S+ ?){9,12}… ?\. Say/)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('a proposed command can be typed into a shell', () => {
  expect(commandLine(['models', 'promote', "a's model", 3, { config: undefined, force: true, sort: false }])).toBe(
    String.raw`fd models promote 'a'\''s model' 3 --force`,
  )
  expect(commandLine(['score', { model: '', config: 'c.yaml' }])).toBe(`fd score --model '' --config c.yaml`)
  expect([Date.UTC(2018, 5, 1), Date.UTC(2018, 5, 1, 12, 0, 0, 5), undefined].map(timeWord)).toEqual([
    '2018-06-01',
    '2018-06-01T12:00:00.005Z',
    undefined,
  ])
})
