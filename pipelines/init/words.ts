/** Words of YAML 1.1 and 1.2 that are no text where they stand without quotes. */
const YAML_WORDS = /^(true|false|yes|no|on|off|null|y|n|nan|inf)$/i

/** A text as a scalar of YAML, also within brackets and braces. */
export function yamlText(text: string): string {
  return /^[A-Za-z_][\w-]*$/.test(text) && !YAML_WORDS.test(text) ? text : JSON.stringify(text)
}

/** A text as a literal of TypeScript. */
export function codeText(text: string): string {
  const quoted = JSON.stringify(text)
  return /['\\]/.test(text) || quoted.includes('\\') ? quoted : `'${text}'`
}

/** A text as a key of an object in TypeScript. */
export function codeKey(text: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(text) ? text : codeText(text)
}

/** Items behind each other, in lines of at most 100 characters, each with `indent` before it. */
export function wrapped(items: readonly string[], indent: string): string {
  const lines: string[] = []
  let line = ''
  for (const item of items) {
    const longer = line === '' ? `${indent}${item},` : `${line} ${item},`
    if (longer.length > 100 && line !== '') {
      lines.push(line)
      line = `${indent}${item},`
    } else line = longer
  }
  return [...lines, ...(line === '' ? [] : [line])].join('\n')
}

/** A name of a file, a service and a dataset: small letters, digits and hyphens. */
export function plainName(text: string): string {
  return text
    .replace(/(\.(csv|tsv|txt|parquet|pq|gz|zip))+$/i, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
}
