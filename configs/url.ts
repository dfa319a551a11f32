/** A URL as it may be shown: `kafka://ann:secret@host` becomes `kafka://ann:***@host`. Anything that is no such URL stays as it is. */
export function withoutPassword(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#@:]*:)[^/?#]*@/i, '$1***@')
}
