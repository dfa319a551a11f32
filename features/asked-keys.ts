import type { DatasetSchema } from '../datasets/table/dataset.ts'
import { compoundKey, isBlank } from '../datasets/table/key.ts'
import type { FeatureService } from './view/view.ts'

/** What is asked for: the keys of one row by entity, as text. */
export type AskedKeys = Readonly<Record<string, string>>

/** The entities by whose keys rows of a service may ask: those that its views are about, and the parts of such. */
export function askableEntities(service: FeatureService, schema?: Pick<DatasetSchema, 'entities'>): string[] {
  const own = service.views.flatMap((view) => (view.kind === 'aggregate' ? [view.entity] : []))
  const parts = compoundsOf(service, schema).flatMap(({ of }) => of)
  return [...new Set([...own, ...parts])]
}

/**
 * The same rows with the keys of entities of several columns, where a row has all of their parts. Parts that no view of
 * the service is about are left out then.
 *
 * @param schema by which the state was written; without it, rows stay as they are.
 */
export function withCompounds(
  service: FeatureService,
  schema: Pick<DatasetSchema, 'entities'> | undefined,
  asked: readonly AskedKeys[],
): AskedKeys[] {
  const compounds = compoundsOf(service, schema)
  if (compounds.length === 0) return [...asked]
  const whole = new Set(
    schema?.entities.flatMap((each) => ('type' in each && each.type === 'integer' ? [each.name] : [])),
  )
  const own = askableEntities(service)
  return asked.map((keys) => {
    const row: Record<string, string> = { ...keys }
    for (const { name, of } of compounds) {
      const parts = of.map((part) => keys[part])
      if (name in keys || parts.some((part) => part === undefined || isBlank(part))) continue
      row[name] = compoundKey(parts.map((part, p) => (whole.has(of[p]) ? Number(part) : part)))
      for (const part of of) if (!own.includes(part)) delete row[part]
    }
    return row
  })
}

function compoundsOf(
  service: FeatureService,
  schema: Pick<DatasetSchema, 'entities'> | undefined,
): { name: string; of: string[] }[] {
  const asked = new Set(service.views.flatMap((view) => (view.kind === 'aggregate' ? [view.entity] : [])))
  return (schema?.entities ?? []).flatMap((entity) => ('of' in entity && asked.has(entity.name) ? [entity] : []))
}
