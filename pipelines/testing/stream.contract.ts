import { expect } from 'vitest'
import { isRunning, type FdProcess } from '../console/fd-process.ts'
import type { World } from './world.ts'

/** Live transactions of a world on their way into the log. */
export interface Stream {
  /**
   * Ends the stream, or waits for its own end when it is to be `whole`. Resolves to how many transactions were sent.
   * Fails when the stream had ended before the call: then it was too short for the test.
   */
  end(whole?: boolean): Promise<number>
}

/** @param rate transactions a second. */
export function startStream(world: World, rate: number): Stream {
  const producer = startProducer(world, rate)
  return {
    end: async (whole = false) => {
      const early = !isRunning(producer.child)
      if (!whole) producer.child.kill('SIGTERM')
      const { code, stdout, stderr } = await producer.ended
      expect(code, stderr).toBe(whole ? 0 : 143)
      expect(early, 'the stream must be longer than the faults').toBe(false)
      return (JSON.parse(stdout) as { transactions: number }).transactions
    },
  }
}

/** Starts `fd produce` with all live transactions of a world, `rate` a second. */
export function startProducer(world: World, rate: number): FdProcess {
  const stretch = ['--from', world.cut, '--rate', String(rate)]
  return world.start('produce', '--dataset', 'simulated', '--data', world.file, ...stretch, '--json')
}
