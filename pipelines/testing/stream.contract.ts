import { expect } from 'vitest'
import type { World } from './world.ts'

/** Live transactions of a world on their way into the log. */
export interface Stream {
  /** Lets it end by itself when it is to be `whole`, else ends it, which must not have ended before; resolves to how many were sent. */
  end(whole?: boolean): Promise<number>
}

/** @param rate transactions a second */
export function startStream(world: World, rate: number): Stream {
  const producer = world.start(
    'produce',
    '--dataset',
    'simulated',
    '--data',
    world.file,
    '--from',
    world.cut,
    '--rate',
    String(rate),
    '--json',
  )
  return {
    end: async (whole = false) => {
      const early = producer.child.exitCode !== null
      if (!whole) producer.child.kill('SIGTERM')
      const { code, stdout, stderr } = await producer.ended
      expect(code, stderr).toBe(0)
      expect(early, 'the stream must be longer than the faults').toBe(false)
      return (JSON.parse(stdout) as { transactions: number }).transactions
    },
  }
}
