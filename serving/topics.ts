/** Payments, and their labels once these are known. Scorers read it. */
export const TRANSACTIONS = 'transactions'
/** One record for each transaction that was scored, by every group; the record names its group. */
export const PREDICTIONS = 'predictions'
/** The predictions of the champion's group at or above the threshold: what is acted upon. */
export const FRAUD_ALERTS = 'fraud_alerts'
/** Records that are not valid events, with the reason and their bytes. */
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

/**
 * The topic of a group's alerts. Only the champion's group writes `fraud_alerts`: the one that the configuration names,
 * scoring with the alias `champion`. A second group scores the same transactions again, whatever its alias; its alerts
 * would come twice, so it writes `fraud_alerts.GROUP`.
 *
 * @param own the group that the configuration names.
 */
export function alertTopic({ group, alias }: ScoringGroup, own: string): string {
  return alias === CHAMPION && group === own ? FRAUD_ALERTS : `${FRAUD_ALERTS}.${group}`
}
