import type { Tags } from './model.ts'

/** The first part of a definition; a longer one goes on in `fd.service.definition.2` and so on. */
export const DEFINITION = 'fd.service.definition'
/** Characters of a part. MLflow takes 100,000 in a tag of a version. */
const PART = /.{1,50000}/gsu

/** A definition as tags of a version; none where there is no definition. */
export function definitionTags(definition: object | undefined): Tags {
  const parts = definition === undefined ? [] : (JSON.stringify(definition).match(PART) ?? [])
  return Object.fromEntries(parts.map((part, p) => [partName(p), part]))
}

/** The parts of a definition as one tag; nothing where there is none. */
export function definitionTag(tags: Tags): Tags {
  const parts: string[] = []
  for (let part = tags[partName(0)]; part !== undefined; part = tags[partName(parts.length)]) parts.push(part)
  return parts.length === 0 ? {} : { [DEFINITION]: parts.join('') }
}

function partName(part: number): string {
  return part === 0 ? DEFINITION : `${DEFINITION}.${part + 1}`
}
