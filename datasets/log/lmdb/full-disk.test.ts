import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../configs/user-error.ts'
import { openEventLog } from '../../open.ts'

// This test has a file, and so a process, of its own. In a process that had used LMDB for a while, lmdb 3.5.6 now and
// then damaged the heap when a write failed, and the process ended by SIGSEGV or SIGABRT.
const small = mkdtempSync(join(tmpdir(), 'fd-full-disk-'))
/** A disk of 1 MB. Mounting it needs a right that containers and ordinary users do not have. */
const mounted =
  existsSync('/proc/mounts') && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]).status === 0

describe('a full disk', () => {
  afterAll(() => {
    if (mounted) spawnSync('umount', ['-l', small])
    rmSync(small, { recursive: true, force: true })
  })

  test.runIf(mounted)('is an error, nothing that was appended is lost, and there is a way on', async () => {
    const url = `lmdb:${join(small, 'log')}`
    const ballast = join(small, 'ballast')
    writeFileSync(ballast, Buffer.alloc(100_000))
    let appended = 0
    {
      await using log = await openEventLog(url)
      const fill = async (): Promise<void> => {
        for (;;) {
          await log.append('t', [{ value: 'x'.repeat(3000), timestamp: appended }])
          appended++
        }
      }
      await expect(fill()).rejects.toThrow(/disk is full/)
      await expect(fill()).rejects.toThrow(UserError)
      await expect(log.append('another', [{ value: 'x'.repeat(3000), timestamp: 0 }])).rejects.toThrow(/disk is full/)
    }
    rmSync(ballast)
    await using log = await openEventLog(url)
    expect((await log.topic('t')).offsets).toEqual([{ start: 0, end: appended }])
    await log.append('t', [{ value: 'y', timestamp: 0 }])
    let seen = 0
    for await (const batch of log.read('t', 0)) seen += batch.size
    expect(seen).toBe(appended + 1)
  })
})
