import { amount, last, mean, request, secondsSincePrevious, service, view } from './builders.ts'

/** How much a transaction differs from its user's recent past, from the transaction and the user's last five alone. */
export const userAnomaly = service(
  'user-anomaly',
  "Amount, seconds since the user's previous transaction (−1 for the first), " +
    "mean of the user's 5 amounts before this one.",
  [
    request({ amount: amount() }),
    // The amount is compared with this mean, so it stays out of it.
    view(
      'recent_transactions',
      { entity: 'customer', includesCurrent: false },
      {
        seconds_since_previous: secondsSincePrevious(),
        mean_last_5_amounts: mean('amount', last(5)),
      },
    ),
  ],
)
