import type { z } from 'zod'
import { page } from './json.ts'

type Page<T> = { items: T[]; next: string | undefined }

/**
 * All items of a list that MLflow gives page by page.
 *
 * @param name of the list in the answer.
 * @param ask one page: with the token of the page, undefined for the first.
 * @param enough stops asking when it says so of what was collected.
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
    // A token that does not move on (MLflow issue 23916) would ask for ever.
    token = answer.next === token ? undefined : answer.next
  } while (token !== undefined && !enough(items))
  return items
}
