import { UserError } from './user-error.ts'

/**
 * A URL as it may be shown: `kafka://ann:secret@host` becomes `kafka://ann:***@host`. Text without a password stays as
 * it is. A password may hold marks that it should have escaped, and the URL may be one that nobody can read. So all up
 * to the last @ is left out.
 */
export function withoutPassword(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@]*:).*@/is, '$1***@')
}

/**
 * User or password of a URL, without its percent escapes.
 *
 * @param shown the URL without its password, for the message. That does not repeat the text, which may be a password.
 * @throws UserError for a `%` that begins no escape.
 */
export function decodedPart(text: string, shown: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new UserError(
      `User or password in ${shown} has a "%" that begins no escape. Write % as %25, @ as %40, / as %2F.`,
      { cause },
    )
  }
}
