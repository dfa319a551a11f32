import {
  amount,
  categorical,
  count,
  derived,
  distinct,
  each,
  fraudCount,
  isNew,
  max,
  mean,
  last,
  request,
  secondsSinceFirst,
  service,
  std,
  sum,
  targetMean,
  view,
} from 'fd/features'

const windows = ['10m', '24h', '7d', '90d'] as const

/** For a table of mobile money: emptied accounts, and who receives from whom. */
export default service('own', 'Emptied accounts, velocity of senders and receivers, risk of receivers', [
  request({
    amount: amount(),
    hour: 'hour(time, "Africa/Nairobi")',
    type: categorical('type'),
    emptied: 'newbalanceOrig == 0.0 && oldbalanceOrg > 0.0',
    share_of_balance: 'amount / max(oldbalanceOrg, 1.0)',
    to_merchant: 'starts_with(receiver, "M")',
  }),
  view(
    'sender',
    { entity: 'sender' },
    {
      ...each(windows, (w) => ({ [`sent_${w}`]: count(w), [`sum_${w}`]: sum('amount', w) })),
      receivers_90d: distinct('receiver', '90d'),
      new_receiver: isNew('receiver', '90d'),
      usual: mean('amount', '90d'),
      most_held: max('oldbalanceOrg', '7d'),
      held: mean('oldbalanceOrg', '90d'),
      held_spread: std('oldbalanceOrg', '90d'),
    },
  ),
  view(
    'receiver',
    { entity: 'receiver', includesCurrent: false },
    {
      ...each(windows, (w) => ({ [`received_${w}`]: count(w), [`senders_${w}`]: distinct('sender', w) })),
      known_frauds: fraudCount('90d', { delay: '1d' }),
      risk: targetMean('90d', { delay: '1d', prior: 0.01, weight: 5 }),
      transfers_24h: count('24h', { where: 'type == "TRANSFER"' }),
      last_amount: last('amount', '7d'),
      age: secondsSinceFirst(),
    },
  ),
  view('pair', { entity: 'sender_receiver' }, { before: count('90d') }),
  view(
    'type',
    { entity: 'type', includesCurrent: false },
    { type_mean: mean('amount', '7d'), type_std: std('amount', '7d') },
  ),
  derived({ times_usual: 'amount / max(usual, 1.0)', odd_for_type: '(amount - type_mean) / type_std' }),
])
