import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { WorldService } from './world.ts'

/** A service over the simulated transactions that has every function, kind of window and expression. */
const SERVICE = `import {
  count, derived, distinct, each, ever, first, fraudCount, fraudShare, isNew, last, max, mean, min, request,
  secondsSinceFirst, secondsSincePrevious, service, shareSame, std, sum, targetMean, view,
} from 'fd/features'

const large = { where: 'amount > 60' }

export default service('own', 'Whatever a definition can say', [
  request({ amount: 'amount', hour: 'hour(time, "Europe/Berlin")', odd: 'customer % 2 == 1' }),
  view('spending', { entity: 'customer' }, {
    ...each(['10m', '1d', '20d'], (w) => ({
      [\`n_\${w}\`]: count(w),
      [\`mean_\${w}\`]: mean('amount', w),
      [\`std_\${w}\`]: std('amount', w),
      [\`min_\${w}\`]: min('amount', w),
      [\`max_\${w}\`]: max('amount', w),
      [\`terminals_\${w}\`]: distinct('terminal', w),
    })),
    large_7d: sum('amount', '7d', large),
    large_of_5: mean('amount', last(5), large),
    last_large: last('amount', '10d', large),
    since: secondsSincePrevious(),
    since_large: secondsSincePrevious(large),
    since_first: secondsSinceFirst(),
    first_10d: first('amount', '10d'),
    n_ever: count(ever),
    max_ever: max('amount', ever),
    std_ever: std('amount', ever, { delay: '1d' }),
    whole_days: sum('amount', '7d', { hop: '1d' }),
    new_terminal: isNew('terminal', '20d'),
    same_terminal: shareSame('terminal', last(10)),
  }),
  view('risk', { entity: 'terminal', includesCurrent: false }, {
    frauds: fraudCount('28d'),
    risk: targetMean('28d', { delay: '2d', prior: 0.01, weight: 20 }),
    large_risk: fraudShare('28d', large),
    customers: distinct('customer', '7d'),
  }),
  derived({
    times_usual: 'amount / max(mean_20d, 1)',
    deviation: '(amount - mean_20d) / std_20d',
    risky_night: 'risk > 0.02 && hour < 6',
  }),
])
`

/** Makes a project with that service in `folder`. Processes find it by FD_PROJECT. */
export function ownFeatures(folder: string): { environment: Record<string, string>; service: WorldService } {
  mkdirSync(join(folder, 'features'), { recursive: true })
  writeFileSync(join(folder, 'fd.yaml'), '')
  writeFileSync(join(folder, 'features', 'own.ts'), SERVICE)
  return { environment: { FD_PROJECT: folder }, service: { name: 'own', features: 41 } }
}
