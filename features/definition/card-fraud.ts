import { amount, count, each, fraudShare, mean, night, request, service, view, weekend } from './builders.ts'

const DAYS = [1, 7, 30]

/**
 * Fraud at a merchant becomes known about a week later. A share of frauds among younger transactions would count what
 * nobody knew at the time.
 */
const labels = { delay: '7d' } as const

/**
 * The 15 inputs of the Fraud Detection Handbook, chapter 3:
 *
 * - amount, weekend and night of the transaction;
 * - a customer's count and mean amount over 1, 7 and 30 days, the transaction included;
 * - a terminal's count and fraud share over the same windows, which end 7 days ago because by then labels are known.
 */
export const cardFraud = service(
  'card-fraud',
  "The Fraud Detection Handbook's 15 inputs: amount, weekend, night, " +
    'customer spending and terminal risk over 1, 7 and 30 days.',
  [
    request({ tx_amount: amount(), tx_during_weekend: weekend(), tx_during_night: night() }),
    view(
      'customer_spending',
      { entity: 'customer' },
      {
        ...each(DAYS, (days) => ({
          [`customer_id_nb_tx_${days}day_window`]: count(`${days}d`),
          [`customer_id_avg_amount_${days}day_window`]: mean('amount', `${days}d`),
        })),
      },
    ),
    view(
      'terminal_risk',
      { entity: 'terminal', includesCurrent: false },
      {
        ...each(DAYS, (days) => ({
          [`terminal_id_nb_tx_${days}day_window`]: count(`${days}d`, labels),
          [`terminal_id_risk_${days}day_window`]: fraudShare(`${days}d`, labels),
        })),
      },
    ),
  ],
)
