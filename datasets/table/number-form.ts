/** How a dataset writes numbers as text, where it is not as in JSON. */
export interface NumberForm {
  /** Between whole and fraction. */
  decimal: '.' | ','
  /** Between groups of three digits, which may also stand without it. A space may be a no-break one. */
  thousands?: '.' | ',' | ' ' | "'"
}

/** The characters that a separator stands for, as a class of a regular expression. */
const CLASSES = { '.': '[.]', ',': '[,]', ' ': '[ \u00a0\u202f]', "'": "['\u2019]" }

function pattern({ decimal, thousands }: NumberForm): string {
  const grouped = thousands === undefined ? '' : `[0-9]{1,3}(?:${CLASSES[thousands]}[0-9]{3})+|`
  return `[+-]?(?:${grouped}[0-9]+)(?:${CLASSES[decimal]}[0-9]+)?(?:[eE][+-]?[0-9]+)?`
}

/** A reader of such numbers, with blanks around them or not. It gives NaN for other text, and for what is too large. */
export function numberReader(form: NumberForm): (text: string) => number {
  const whole = new RegExp(`^${pattern(form)}$`)
  const separators = form.thousands === undefined ? undefined : new RegExp(CLASSES[form.thousands], 'g')
  return (text) => {
    const trimmed = text.trim()
    if (!whole.test(trimmed)) return Number.NaN
    const plain = separators === undefined ? trimmed : trimmed.replaceAll(separators, '')
    const number = Number(plain.replace(form.decimal, '.'))
    return Number.isFinite(number) ? number : Number.NaN
  }
}

/** The same as SQL: text as DuckDB casts it to a number; NULL stays, and what is no number stays text that is none. */
export function numberSql(ref: string, form: NumberForm): string {
  const text = `trim(${ref}::VARCHAR)`
  const separators = form.thousands === undefined ? undefined : CLASSES[form.thousands].replaceAll("'", "''")
  const ungrouped = separators === undefined ? text : `regexp_replace(${text}, '${separators}', '', 'g')`
  const plain = `replace(${ungrouped}, '${form.decimal}', '.')`
  const fits = `regexp_full_match(${text}, '${pattern(form).replaceAll("'", "''")}')`
  return `CASE WHEN ${text} = '' THEN NULL WHEN ${fits} THEN ${plain} WHEN ${ref} IS NOT NULL THEN 'no number' END`
}
