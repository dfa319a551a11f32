import type { FeatureService } from '../view/view.ts'

/** How much a transaction differs from its user's recent past, from the transaction and the user's last five alone. */
export const userAnomaly: FeatureService = {
  name: 'user-anomaly',
  description:
    "Amount, seconds since the user's previous transaction (−1 for the first), " +
    "mean of the user's 5 amounts before this one.",
  views: [
    { kind: 'request', name: 'transaction', features: [{ name: 'amount', from: 'amount' }] },
    {
      kind: 'aggregate',
      name: 'recent_transactions',
      entity: 'customer',
      // The amount is compared with this mean, so it stays out of it.
      includesCurrent: false,
      features: [
        { name: 'seconds_since_previous', function: 'seconds_since_previous' },
        { name: 'mean_last_5_amounts', function: 'mean_amount', window: { last: 5 } },
      ],
    },
  ],
}
