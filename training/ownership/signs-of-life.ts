import type { DurationMs } from '../../datasets/table/transaction.ts'
import { isActive } from '../../registry/model.ts'
import type { Registry } from '../../registry/registry.ts'
import { HEARTBEAT } from './run-owner.ts'

/**
 * Gives signs of life for a run until it has ended.
 *
 * @param open gives the registry, or rejects while it is away.
 */
export async function giveSigns(
  open: () => Promise<Registry>,
  runId: string,
  everyMs: DurationMs,
  pause: (ms: DurationMs) => Promise<unknown>,
): Promise<void> {
  for (let beat = 1, active = true; active; beat++) {
    await pause(everyMs)
    try {
      const registry = await open()
      await registry.setTag(runId, HEARTBEAT, String(beat))
      active = isActive((await registry.getRun(runId)).status)
    } catch {
      // A registry that is away is told by the process itself, which needs it for more than this. The next beat may
      // come.
    }
  }
}
