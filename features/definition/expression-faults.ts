import type { z } from 'zod'
import { faultOf } from '../expression/expression.ts'
import { FeatureScope } from '../expression/feature-scope.ts'
import { scopeFeatures } from '../view/service-check.ts'
import type { FeatureService } from '../view/view.ts'

/**
 * Refuses expressions that no dataset would make right: those that are no CEL, and derived features that name what does
 * not stand before them. Names of columns are known once there is a dataset.
 */
export function expressionsHold(service: FeatureService, context: z.RefinementCtx): void {
  const known = scopeFeatures(service)
  let column = 0
  service.views.forEach((view, v) => {
    view.features.forEach((feature, f) => {
      const refuse = (key: 'expression' | 'where', message: string | undefined): void => {
        if (message === undefined) return
        context.addIssue({ code: 'custom', path: ['views', v, 'features', f, key], message })
      }
      const scope = view.kind === 'derived' ? new FeatureScope(known, column) : undefined
      if ('expression' in feature) refuse('expression', faultOf(feature.expression, scope))
      if ('where' in feature && feature.where !== undefined) refuse('where', faultOf(feature.where))
      column++
    })
  })
}
