/** One word of a command line, or an option that is left out where its value is undefined or false. */
export type Word = string | number | Record<string, string | number | boolean | undefined>

/**
 * `fd WORDS` as it can be typed into a shell. An option is written as `{ 'until': '2018-06-01' }`; with `true` it
 * stands without a value.
 */
export function commandLine(words: readonly Word[]): string {
  const parts = words.flatMap((word) => (typeof word === 'object' ? Object.entries(word).flatMap(option) : [word]))
  return ['fd', ...parts.map((part) => shellWord(String(part)))].join(' ')
}

function option([name, value]: [string, string | number | boolean | undefined]): (string | number)[] {
  if (value === undefined || value === false) return []
  return value === true ? [`--${name}`] : [`--${name}`, value]
}

/** The text as one word of a POSIX shell. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** The command line that this process was started with, to type it once more. */
export function sameCommand(): string {
  return commandLine(process.argv.slice(2))
}

/** An instant as an option takes it: the day alone at midnight UTC, else with the time. */
export function timeWord(time: number | undefined): string | undefined {
  if (time === undefined) return undefined
  const text = new Date(time).toISOString()
  return text.endsWith('T00:00:00.000Z') ? text.slice(0, 10) : text
}

/** A result, and below it the command that comes next. */
export function withNext(text: string, command: string): string {
  return `${text}\n\nNext: ${command}`
}
