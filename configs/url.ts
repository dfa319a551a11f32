/**
 * A URL as it may be shown: `kafka://ann:secret@host` becomes `kafka://ann:***@host`. Text without a password stays as
 * it is.
 */
export function withoutPassword(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#@:]*:)[^/?#]*@/i, '$1***@')
}
