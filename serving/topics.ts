/** Payments, and labels when they become known: what a scorer reads. */
export const TRANSACTIONS = 'transactions'
/** A record for each transaction that was scored. */
export const PREDICTIONS = 'predictions'
/** The predictions at or above the threshold. */
export const FRAUD_ALERTS = 'fraud_alerts'
/** Records that are no event, with the reason and their bytes. */
export const DEAD_LETTERS = 'transactions.dlq'
