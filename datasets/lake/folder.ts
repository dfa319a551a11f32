import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { makeFolder } from '../../configs/folder.ts'
import { errorMessage, UserError } from '../../configs/user-error.ts'
import type { RecordBatch } from '../log/event-log.ts'
import { byPartition, compareLakeFiles, filesOf, nothingOf, parseLakePath } from './file.ts'
import type { DateRange, Lake, LakeFile } from './lake.ts'
import { openRecordWriter, readRecords, type RecordWriter } from './parquet.ts'

/** The lake in a folder of this machine: Parquet through DuckDB. */
export async function openFolderLake(folder: string): Promise<Lake> {
  const writer = await openRecordWriter()
  const pending = new Set<Promise<LakeFile[]>>()
  return {
    async write(batch) {
      const written = writeBatch(writer, folder, batch)
      pending.add(written)
      return written.finally(() => pending.delete(written))
    },
    list: async (topic) => listFiles(folder, topic),
    read: (topic, range = {}) => readTopic(folder, topic, range),
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(pending)
      await writer[Symbol.asyncDispose]()
    },
  }
}

async function writeBatch(writer: RecordWriter, folder: string, batch: RecordBatch): Promise<LakeFile[]> {
  const files = filesOf(batch)
  for (const [file, rows] of files) await writeFile(writer, join(folder, file.path), batch, rows)
  return files.map(([file]) => file)
}

/** Numbers the partial files of this process, so that two writes of one file do not collide. */
let writes = 0

/** Writes a file under another name and renames it once it is whole and on disk. */
async function writeFile(
  writer: RecordWriter,
  file: string,
  batch: RecordBatch,
  rows: readonly number[],
): Promise<void> {
  const partial = `${file}.${process.pid}-${writes++}.partial`
  try {
    makeFolder(dirname(file))
    await writer.write(partial, batch, rows)
    syncFile(partial)
    renameSync(partial, file)
  } catch (error) {
    rmSync(partial, { force: true })
    throw new UserError(
      `Cannot write ${file}: ${errorMessage(error)}\n` +
        'Free space on the disk, or set FD_LAKE to another folder; nothing that was written is lost.',
      { cause: error },
    )
  }
}

function syncFile(file: string): void {
  const descriptor = openSync(file, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function listFiles(folder: string, topic: string | undefined): LakeFile[] {
  const root = join(folder, 'raw', topic ?? '')
  if (!existsSync(root)) return []
  const prefix = topic === undefined ? 'raw/' : `raw/${topic}/`
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) =>
    parseLakePath(prefix + path.replaceAll(sep, '/')),
  )
  return paths.filter((file) => file !== undefined).sort(compareLakeFiles)
}

async function* readTopic(folder: string, topic: string, range: DateRange): AsyncGenerator<RecordBatch> {
  const files = listFiles(folder, topic)
  if (files.length === 0) throw nothingOf(topic, folder, listFiles(folder, undefined))
  for (const [partition, parts] of byPartition(files, range)) {
    const paths = parts.map((file) => join(folder, file.path))
    yield* readRecords(topic, partition, paths, join(folder, `.sort-${process.pid}`))
  }
}
