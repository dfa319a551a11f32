import { createHmac } from 'node:crypto'
import { UserError } from '../../configs/user-error.ts'
import { columnEntities, type DatasetSchema } from './dataset.ts'
import { isNoKey } from './key.ts'
import type { EventBatch } from './transaction.ts'

/** Characters of a token: 132 bits of the digest, so that two cards never share one. */
const LENGTH = 22

/** Shortest secret that is accepted: a short one can be guessed by trying secrets against a known card. */
const SHORTEST_SECRET = 16

/** Changes the rows of a batch in place, from one to before another. */
export type Tokenizer = (batch: EventBatch, from: number, to: number) => void

/**
 * Replaces the keys of entities marked `token` by keyed tokens, before anything is stored or logged: HMAC-SHA256 of the
 * key's text under `secret`, base64url, cut to 22 characters. Under one secret a card always gives the same token;
 * without the secret nobody can compute a card's token. A row without a key has no token.
 *
 * @throws UserError when an entity is marked and there is no secret, or one that is too short.
 */
export function tokenizer(schema: Pick<DatasetSchema, 'entities'>, secret: string | undefined): Tokenizer {
  const marked = columnEntities(schema).filter(({ entity }) => entity.token === true)
  if (marked.length === 0) return () => {}
  if (secret === undefined || secret.length < SHORTEST_SECRET) {
    const names = marked.map(({ entity }) => entity.column).join(', ')
    throw new UserError(
      `Column ${names} holds card numbers (token: true), which are kept as keyed tokens only. ` +
        `Set FD_TOKEN_KEY to a secret of at least ${SHORTEST_SECRET} characters, ` +
        `the same wherever these cards are read.`,
    )
  }
  const known = new Map<string, string>()
  const tokenOf = (key: string): string => {
    const token = known.get(key) ?? createHmac('sha256', secret).update(key).digest('base64url').slice(0, LENGTH)
    known.set(key, token)
    return token
  }
  return ({ entities }, from, to) => {
    for (const { index } of marked) {
      const keys = entities[index]
      for (let row = from; row < to; row++) keys[row] = isNoKey(keys[row]) ? '' : tokenOf(String(keys[row]))
    }
  }
}
