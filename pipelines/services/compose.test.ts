import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { PROJECT_ROOT, readConfig } from '../../configs/config.ts'
import { isInstalled, markInstalled, onPath, run } from './install.ts'

// The part of the specification that this project allows itself: pinned images, 127.0.0.1, health checks. Further down
// the specification's own checker reads the file.
const service = z.strictObject({
  image: z.string().regex(/^[a-z0-9./-]+:[\w.-]*\d[\w.-]*$/, 'a tag with a version'),
  build: z.literal('.').optional(),
  profiles: z.array(z.enum(['infra', 'app'])).nonempty(),
  restart: z.literal('unless-stopped'),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/, 'bound to 127.0.0.1')).optional(),
  environment: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  command: z.array(z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  extra_hosts: z.array(z.string()).optional(),
  volumes: z.array(z.string().regex(/^(\.\/)?[\w./-]+:\/[\w./-]+(:ro)?$/)),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })).optional(),
  healthcheck: z.strictObject({
    test: z.tuple([z.enum(['CMD', 'CMD-SHELL'])], z.string()),
    interval: z.string().regex(/^\d+s$/),
    timeout: z.string().regex(/^\d+s$/),
    retries: z.number().int(),
    start_period: z.string().optional(),
  }),
})
const schema = z.strictObject({
  name: z.string(),
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.null()),
})

const text = readFileSync(join(PROJECT_ROOT, 'docker-compose.yml'), 'utf8')
const compose = schema.parse(parse(text))
const all = Object.entries(compose.services)

test('every service is pinned, bound to 127.0.0.1, checked, and in a profile', () => {
  expect(all.map(([name]) => name)).toEqual(['kafka', 'redis', 'mlflow', 's3', 'prometheus', 'grafana', 'scorer'])
  expect(all.filter(([, { image }]) => image.endsWith(':latest'))).toEqual([])
  for (const [name, { profiles }] of all) expect(profiles, name).toEqual(name === 'scorer' ? ['app'] : ['infra', 'app'])
})

test('volumes and dependencies that are named exist, and files that are mounted do', () => {
  const mounts = all.flatMap(([, { volumes }]) => volumes.map((volume) => volume.split(':')[0]))
  expect(
    mounts.filter((mount) => mount.startsWith('./')).filter((mount) => !existsSync(join(PROJECT_ROOT, mount))),
  ).toEqual([])
  expect(mounts.filter((mount) => !mount.startsWith('./')).toSorted()).toEqual(Object.keys(compose.volumes).toSorted())
  const needed = all.flatMap(([, { depends_on }]) => Object.keys(depends_on ?? {}))
  expect(needed.filter((name) => compose.services[name] === undefined)).toEqual([])
})

test('no secret is written down or has a default; .env.example names each, without a value', () => {
  const secrets = [...text.matchAll(/(?<!\$)\$\{(\w+)([^}]*)\}/g)]
  expect(secrets.filter(([, , rest]) => !rest.startsWith(':?'))).toEqual([])
  const example = readFileSync(join(PROJECT_ROOT, '.env.example'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  expect(example.toSorted()).toEqual([...new Set(secrets.map(([, name]) => `${name}=`))].toSorted())
  for (const [name, { environment }] of all) {
    const literal = Object.entries(environment ?? {}).filter(
      ([key, value]) => /PASSWORD|SECRET|_KEY|ROOT_USER/.test(key) && !/^\$\{\w+:\?/.test(String(value)),
    )
    expect(literal, name).toEqual([])
  }
})

test('the ports, and the versions that both have, are those of configs/services.yaml', () => {
  const { redis, kafka, mlflow, s3 } = readConfig(join(PROJECT_ROOT, 'configs', 'services.yaml'), {}).services
  const hostPort = (name: string): number => Number(compose.services[name].ports?.[0].split(':')[1])
  expect({
    redis: hostPort('redis'),
    kafka: hostPort('kafka'),
    mlflow: hostPort('mlflow'),
    s3: hostPort('s3'),
  }).toEqual({
    redis: redis?.port,
    kafka: kafka?.port,
    mlflow: mlflow?.port,
    s3: s3?.port,
  })
  expect(compose.services['kafka'].image).toBe(`apache/kafka:${kafka?.version}`)
  expect(compose.services['mlflow'].image).toBe(`ghcr.io/mlflow/mlflow:v${mlflow?.version}`)
  expect(compose.services['s3'].entrypoint?.join(' ')).toContain(`/data/${s3?.bucket} `)
})

test('the image is built in stages, holds every folder that fd runs from, and does not run as root', () => {
  const dockerfile = readFileSync(join(PROJECT_ROOT, 'Dockerfile'), 'utf8')
  const allowed = readFileSync(join(PROJECT_ROOT, '.dockerignore'), 'utf8')
  expect(dockerfile.match(/^FROM \S+:\d\S+/gm)).toHaveLength(2)
  expect(dockerfile.slice(dockerfile.lastIndexOf('FROM '))).toMatch(/^USER node$/m)
  for (const folder of ['configs', 'datasets', 'features', 'registry', 'training', 'serving', 'pipelines']) {
    expect(dockerfile).toContain(`COPY ${folder} ./${folder}\n`)
    expect(allowed).toContain(`!${folder}\n`)
  }
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')))
  expect(dockerfile).toContain(`FROM node:${dependencies['node']}-`)
})

/**
 * The compose specification's own checker: compose-go, which Docker's compose is built on. It contains the
 * specification's JSON schema, of which npm has no copy younger than 2021.
 */
const CHECKER = 'github.com/compose-spec/compose-go/v2/cmd@v2.16.2'

describe.runIf(onPath('go') !== undefined)(
  'by the compose specification (compose-go, from the Go module proxy)',
  () => {
    /** What is wrong with a compose file, undefined when nothing is. Secrets stay the variables they are. */
    async function faultOf(file: string, checker: string): Promise<string | undefined> {
      return run(checker, ['--no-interpolation', '--format', 'json', file]).then(
        () => undefined,
        (error: unknown) => String(error),
      )
    }

    test(
      'the file is valid; a key, a value or a type that is not in the specification would be found',
      { timeout: 240_000 },
      async ({ skip }) => {
        const folder = join(readConfig().cache, 'compose-go-v2.16.2')
        const installed =
          isInstalled(folder) ||
          (await run('go', ['install', CHECKER], { env: { GOBIN: folder, GOFLAGS: '-modcacherw' } }).then(
            () => true,
            () => false,
          ))
        skip(
          !installed && process.env['CI'] === undefined,
          `${CHECKER} cannot be installed: is the Go module proxy reachable?`,
        )
        markInstalled(folder)
        const checker = join(folder, 'cmd')
        expect(await faultOf(join(PROJECT_ROOT, 'docker-compose.yml'), checker)).toBeUndefined()
        const scratch = mkdtempSync(join(tmpdir(), 'fd-compose-'))
        const changed = async (from: string, to: string): Promise<string | undefined> => {
          writeFileSync(join(scratch, 'docker-compose.yml'), text.replace(from, to))
          return faultOf(join(scratch, 'docker-compose.yml'), checker)
        }
        expect(await changed('restart: unless-stopped', 'restrat: unless-stopped')).toMatch(/restrat/)
        expect(await changed('condition: service_healthy', 'condition: healthy')).toMatch(
          /condition value must be one of/,
        )
        expect(await changed('retries: 12', 'retries: [12]')).toMatch(/retries/)
        rmSync(scratch, { recursive: true })
      },
    )
  },
)
