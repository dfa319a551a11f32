/** Payments, and their labels once these are known. Scorers read it. */
export const TRANSACTIONS = 'transactions'
/** One record for each transaction that was scored, by every group; the record names its group. */
export const PREDICTIONS = 'predictions'
/** The predictions of the champion's group at or above the threshold: what is acted upon. */
export const FRAUD_ALERTS = 'fraud_alerts'
/** Records that are not valid events, with the reason and their bytes, once each: by the champion's group. */
export const DEAD_LETTERS = 'transactions.dlq'

/** The alias of the version that decides. */
export const CHAMPION = 'champion'

/** Who scores: a consumer group, and the alias of the versions that it scores with. */
export interface ScoringGroup {
  group: string
  alias: string
}

/**
 * The group that scores with an alias when none is named: the configured one for the champion, else one of the alias's
 * own name. So a challenger never takes partitions from the champion.
 */
export function groupOf(
  { group, alias }: Partial<Pick<ScoringGroup, 'group'>> & { alias: string },
  own: string,
): string {
  return group ?? (alias === CHAMPION ? own : alias)
}

/** Where a group writes what is acted upon. */
export interface GroupTopics {
  alerts: string
  deadLetters: string
}

/** The topics of the champion's group. */
export const LIVE_TOPICS: GroupTopics = { alerts: FRAUD_ALERTS, deadLetters: DEAD_LETTERS }

/**
 * The topics of a group. Only the champion's group writes the live ones: the one that the configuration names, scoring
 * with the alias `champion`. A second group reads the same records again, whatever its alias; its alerts and dead
 * letters would come twice, so it writes `fraud_alerts.GROUP` and `transactions.dlq.GROUP`.
 *
 * @param own the group that the configuration names.
 */
export function groupTopics({ group, alias }: ScoringGroup, own: string): GroupTopics {
  if (alias === CHAMPION && group === own) return LIVE_TOPICS
  return { alerts: `${FRAUD_ALERTS}.${group}`, deadLetters: `${DEAD_LETTERS}.${group}` }
}
