import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { errorCode, UserError } from '../../configs/user-error.ts'

/** What a file is until it changes: its path, size and time of change. */
export function markOf(file: string): string {
  const { size, mtimeMs } = statSync(file)
  return `${file} ${size} ${mtimeMs}`
}

/** Copies of this process, by what they are copies of. */
const copies = new Map<string, Promise<string>>()
let folder: string | undefined

/**
 * A file in another form, such as unpacked, in the folder for temporary files. It is made once and stands until the
 * process ends, since a command opens the same table several times. Memory does not grow with it.
 *
 * @param form what is done to the file; a copy is of one file in one form.
 * @throws UserError when there is no room for it; and what `bytes` throws, which leaves no copy.
 */
export function temporaryCopy(
  file: string,
  form: string,
  bytes: () => Promise<AsyncIterable<Buffer>>,
): Promise<string> {
  const mark = `${form} ${markOf(file)}`
  const known = copies.get(mark)
  if (known !== undefined) return known
  const copy = writeCopy(file, copies.size, bytes)
  copies.set(mark, copy)
  copy.catch(() => copies.delete(mark))
  return copy
}

async function writeCopy(file: string, number: number, bytes: () => Promise<AsyncIterable<Buffer>>): Promise<string> {
  folder ??= newFolder()
  const copy = join(folder, `table-${number}`)
  try {
    await pipeline(await bytes(), createWriteStream(copy))
    return copy
  } catch (error) {
    rmSync(copy, { force: true })
    if (errorCode(error) !== 'ENOSPC') throw error
    throw new UserError(
      `${file} must be unpacked to be read, and ${tmpdir()} has no room for it. ` +
        'Name another folder for temporary files: TMPDIR=FOLDER. Or unpack it yourself.',
      { cause: error },
    )
  }
}

function newFolder(): string {
  const made = mkdtempSync(join(tmpdir(), 'fd-table-'))
  process.on('exit', () => rmSync(made, { recursive: true, force: true }))
  return made
}
