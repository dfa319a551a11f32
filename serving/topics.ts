/** Payments, and their labels once these are known. Scorers read it. */
export const TRANSACTIONS = 'transactions'
/** One record for each transaction that was scored. */
export const PREDICTIONS = 'predictions'
/** The predictions at or above the threshold. */
export const FRAUD_ALERTS = 'fraud_alerts'
/** Records that are not valid events, with the reason and their bytes. */
export const DEAD_LETTERS = 'transactions.dlq'
