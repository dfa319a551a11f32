import { basename, relative } from 'node:path'
import { PROJECT_ROOT } from '../../configs/config.ts'
import { plainName } from './words.ts'

/** The files that make a folder a project, by name. */
export function projectFiles(root: string): Record<string, string> {
  const fd = relative(root, PROJECT_ROOT)
  return {
    'fd.yaml': CONFIGURATION,
    'package.json': `${JSON.stringify(packageOf(root, fd), null, 2)}\n`,
    'tsconfig.json': `${JSON.stringify(compilerOf(fd), null, 2)}\n`,
    '.gitignore': '.fd/\nnode_modules/\n',
  }
}

const CONFIGURATION = `# This folder is a project of fd: commands find it from here and from every folder in it.
#   datasets/*.yaml    tables, and the roles of their columns
#   features/*.ts      what models read: fd features list
#   .fd/               everything embedded: log, state, registry, lake
#
# All settings have defaults, with no server at all. Paths are relative to this file; the environment stands above it.

# How many scorers can share the work: the topic transactions is made with so many partitions.
#   scorer: { partitions: 3 }
# Where Prometheus finds fd score.
#   metrics: { port: 9464 }
# The same commands on real services (fd services up starts them on this machine):
#   eventLog: kafka://127.0.0.1:9092
#   onlineStore: redis://127.0.0.1:6379
#   jobQueue: redis://127.0.0.1:6379
#   registry: http://127.0.0.1:5000
#   lake: s3://datalake
`

function packageOf(root: string, fd: string): object {
  return {
    name: plainName(basename(root)) || 'project',
    private: true,
    type: 'module',
    dependencies: { fd: `file:${fd}` },
  }
}

/** What an editor needs to check and complete a definition, also before anything is installed here. */
function compilerOf(fd: string): object {
  return {
    compilerOptions: {
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable', 'esnext.iterator'],
      module: 'nodenext',
      noEmit: true,
      strict: true,
      erasableSyntaxOnly: true,
      verbatimModuleSyntax: true,
      allowImportingTsExtensions: true,
      skipLibCheck: true,
      types: ['node'],
      typeRoots: [`${fd}/node_modules/@types`],
      paths: { 'fd/features': [`${fd}/features/definition/builders.ts`] },
    },
    include: ['features'],
  }
}
