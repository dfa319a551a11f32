import { UserError } from '../../configs/user-error.ts'
import type { Registry } from '../../registry/registry.ts'

/** Names that are listed; a shared server may have hundreds. */
const MOST_LISTED = 10

/**
 * The registered model that a command means: the one that is named, else the only one there is.
 *
 * @param propose the command with a name in it, for the message.
 * @throws UserError when none is named and there are several, or none.
 */
export async function modelName(
  registry: Registry,
  named: string | undefined,
  propose: (name: string) => string,
): Promise<string> {
  if (named !== undefined) return named
  const names = (await registry.searchRegisteredModels()).map(({ name }) => name)
  if (names.length === 1) return names[0]
  if (names.length === 0) {
    throw new UserError('No registered model yet. Run: fd train --dataset NAME --register card-fraud')
  }
  const shown = names.length > MOST_LISTED ? [...names.slice(0, MOST_LISTED), '…'] : names
  throw new UserError(
    `There are ${names.length} registered models: ${shown.join(', ')}. Say which one: ${propose(names[0])}`,
  )
}
