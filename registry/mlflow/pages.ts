import type { z } from 'zod'
import { page, type Page } from './json.ts'

/**
 * All items of a list that MLflow gives page by page.
 *
 * @param name of the list in the answer.
 * @param ask asks for one page. The token is undefined for the first.
 * @param enough is told what was collected so far; true ends the asking.
 */
export async function allPages<S extends z.ZodType>(
  name: string,
  item: S,
  ask: (schema: z.ZodType<Page<z.output<S>>>, token: string | undefined) => Promise<Page<z.output<S>>>,
  enough: (items: z.output<S>[]) => boolean = () => false,
): Promise<z.output<S>[]> {
  const schema = page(name, item)
  const items: z.output<S>[] = []
  let token: string | undefined
  do {
    const answer = await ask(schema, token)
    items.push(...answer.items)
    // A token that stays the same (MLflow issue 23916) would make this ask for ever.
    token = answer.next === token ? undefined : answer.next
  } while (token !== undefined && !enough(items))
  return items
}
