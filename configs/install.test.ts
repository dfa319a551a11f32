import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

test('nothing is installed through a linked node_modules: that would empty the folder of another project', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fd-install-'))
  try {
    const [root, other] = [join(folder, 'root'), join(folder, 'other')]
    for (const made of [join(root, 'configs'), join(other, 'a-package')]) mkdirSync(made, { recursive: true })
    const install = join(root, 'configs', 'install.mjs')
    copyFileSync(join(import.meta.dirname, 'install.mjs'), install)
    const project = { name: 'a', version: '1.0.0' }
    writeFileSync(join(root, 'package.json'), JSON.stringify(project))
    const lock = { ...project, lockfileVersion: 3, requires: true, packages: { '': project } }
    writeFileSync(join(root, 'package-lock.json'), JSON.stringify(lock))
    symlinkSync(other, join(root, 'node_modules'))
    const { status, stderr } = spawnSync(process.execPath, [install], { encoding: 'utf8' })
    expect(stderr).toContain('node_modules is a symbolic link')
    expect(stderr).toContain('Remove the link, then run the command again.')
    expect({ status, kept: readdirSync(other) }).toEqual({ status: 2, kept: ['a-package'] })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
