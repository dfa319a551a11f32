import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { Config } from '../../configs/config.ts'
import { UserError } from '../../configs/user-error.ts'
import { requireFile } from '../file/file-kind.ts'
import { markOf } from '../file/temporary-copy.ts'
import { tokenizer } from './card-token.ts'
import type { Dataset } from './dataset.ts'
import { countRows, readTable, type TableEnd } from './table.ts'
import type { DurationMs, EpochMs } from './transaction.ts'

/** What a dataset is, before its file is read. */
export type DatasetDescription = Pick<Dataset, 'name' | 'description' | 'schema' | 'service' | 'split'> & {
  /** Its transactions lie before this instant. Undefined: before the present. */
  until?: EpochMs
}

/**
 * A dataset over one table file.
 *
 * @param options.make makes the file; called before a reading when the file does not exist.
 * @param options.tokenKey the secret under which card numbers become tokens.
 * @param options.maxAhead how far a time may lie ahead of this machine's clock, where no `until` is described.
 */
export function fileDataset(
  description: DatasetDescription,
  file: string,
  options: { maxAhead: DurationMs; make?: () => Promise<unknown>; tokenKey?: string },
): Dataset {
  const { make, maxAhead } = options
  const { until, ...dataset } = description
  const unchanged = changeGuard(file)
  const ready = async (): Promise<void> => {
    if (make !== undefined && !existsSync(file)) await make()
    unchanged()
  }
  return {
    ...dataset,
    file,
    digest: async () => {
      await ready()
      const digest = await sha256(file)
      unchanged()
      return digest
    },
    count: async () => {
      await ready()
      return countRows(file)
    },
    batches: async function* (reading) {
      await ready()
      const tokenize = tokenizer(description.schema, options.tokenKey)
      const end = until === undefined ? presentEnd(maxAhead) : declaredEnd(until)
      yield* readTable(file, description.schema, { ...reading, end, tokenize })
      unchanged()
    },
  }
}

/**
 * Throws when the file is another than at the first call. What is counted, digested and read must be the same rows, or
 * a model would be said to know rows that it has not seen.
 */
export function changeGuard(file: string): () => void {
  let mark: string | undefined
  return () => {
    if (!existsSync(file)) return
    mark ??= markOf(file)
    if (mark === markOf(file)) return
    throw new UserError(
      `${file} was changed while it was read. Wait until whoever writes it is done, or read a copy of it.`,
    )
  }
}

/** A table tells of what has happened. One row from far ahead would make all later ones of its keys late. */
function presentEnd(maxAhead: DurationMs): TableEnd {
  const now = Date.now()
  const problem =
    `lies further ahead of the clock of this machine (${new Date(now).toISOString()}) than an event of the stream ` +
    'may (scorer.maxAhead). If such times are meant, give the dataset an `until` behind the last of them'
  return { before: now + maxAhead + 1, problem }
}

function declaredEnd(until: EpochMs): TableEnd {
  return { before: until, problem: `does not lie before ${new Date(until).toISOString()}, the dataset's \`until\`` }
}

/**
 * Finds the dataset's file: `data` (the flag), else the configured path, else `usual` when it exists; undefined when
 * there is none of the three. The path is absolute.
 *
 * @throws UserError when a file was named and is not there.
 */
export function locateFile(name: string, config: Config, data: string | undefined, usual?: string): string | undefined {
  const configured = config.datasets[name]?.path
  if (data !== undefined) return requireFile(data, 'Give an existing file with --data FILE.')
  if (configured !== undefined)
    return requireFile(configured, `Mend datasets.${name}.path in the configuration, or give --data FILE.`)
  return usual !== undefined && existsSync(usual) ? usual : undefined
}

/** sha256 of a file's bytes, hex. */
export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(requireFile(file, 'Give an existing file with --data FILE.')), hash)
  return hash.digest('hex')
}
