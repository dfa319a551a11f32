// Runs on any Node the machine has (20 or later), before anything is installed. So it is plain JavaScript and imports
// nothing but Node. It installs the packages of package-lock.json into node_modules, once, and says so.
//
// Given a TypeScript file and its arguments, it then runs that file on the installed Node. It does not leave that to
// the shell: a shell that has run an older `node` before remembers where that one is.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const marker = join(root, 'node_modules', '.fd-installed')
const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex')

const major = Number(process.versions.node.split('.')[0])
if (major < 20) {
  console.error(
    `fd needs Node.js 20 or later to install itself; this is ${process.version}. ` +
      'Install a newer Node.js and run the command again.',
  )
  process.exit(2)
}

if (!existsSync(marker) || readFileSync(marker, 'utf8') !== wanted) {
  // npm ci empties the folder first. Through a link that would be the folder of another project.
  const modules = dirname(marker)
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    console.error(
      `${modules} is a symbolic link, and its packages are not those of package-lock.json. Installing would empty ` +
        'the folder that it points to, so nothing was installed. Remove the link, then run the command again.',
    )
    process.exit(2)
  }
  console.error('Installing the packages of package-lock.json (once, about a minute, 980 MB) …')
  const started = Date.now()
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    // The script of onnxruntime-node would download a GPU runtime; the package itself holds the CPU one.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  })
  if (npm.status !== 0) {
    console.error(
      'npm ci failed; its message is above. fd needs only the npm registry. ' +
        'Check the network or proxy, then run the command again.',
    )
    process.exit(2)
  }
  writeFileSync(marker, wanted)
  console.error(`Installed in ${Math.round((Date.now() - started) / 1000)} s.`)
}

const [program, ...args] = process.argv.slice(2)
if (program !== undefined) {
  const node = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  const { status, signal } = spawnSync(node, ['--disable-warning=ExperimentalWarning', join(root, program), ...args], {
    stdio: 'inherit',
  })
  process.exitCode = signal === null ? status : 2
}
