import { DAY } from '../../datasets/table/transaction.ts'
import type { AggregateFeature, AggregateView, FeatureService, RequestView } from '../view/view.ts'

const WINDOW_DAYS = [1, 7, 30]

/**
 * Fraud at a merchant becomes known about a week later. A share of frauds among younger transactions would count what
 * nobody knew at the time.
 */
const LABEL_DELAY = 7 * DAY

const transaction: RequestView = {
  kind: 'request',
  name: 'transaction',
  features: [
    { name: 'tx_amount', from: 'amount' },
    { name: 'tx_during_weekend', from: 'weekend' },
    { name: 'tx_during_night', from: 'night' },
  ],
}

const customerSpending: AggregateView = {
  kind: 'aggregate',
  name: 'customer_spending',
  entity: 'customer',
  includesCurrent: true,
  features: WINDOW_DAYS.flatMap((days): AggregateFeature[] => [
    { name: `customer_id_nb_tx_${days}day_window`, function: 'count', window: { length: days * DAY } },
    { name: `customer_id_avg_amount_${days}day_window`, function: 'mean_amount', window: { length: days * DAY } },
  ]),
}

const terminalRisk: AggregateView = {
  kind: 'aggregate',
  name: 'terminal_risk',
  entity: 'terminal',
  includesCurrent: false,
  features: WINDOW_DAYS.flatMap((days): AggregateFeature[] => [
    {
      name: `terminal_id_nb_tx_${days}day_window`,
      function: 'count',
      window: { length: days * DAY, delay: LABEL_DELAY },
    },
    {
      name: `terminal_id_risk_${days}day_window`,
      function: 'fraud_share',
      window: { length: days * DAY, delay: LABEL_DELAY },
    },
  ]),
}

/**
 * The 15 inputs of the Fraud Detection Handbook, chapter 3:
 *
 * - amount, weekend and night of the transaction;
 * - a customer's count and mean amount over 1, 7 and 30 days, the transaction included;
 * - a terminal's count and fraud share over the same windows, which end 7 days ago because by then labels are known.
 */
export const cardFraud: FeatureService = {
  name: 'card-fraud',
  description:
    "The Fraud Detection Handbook's 15 inputs: amount, weekend, night, " +
    'customer spending and terminal risk over 1, 7 and 30 days.',
  views: [transaction, customerSpending, terminalRisk],
}
