import {
  amount,
  categorical,
  count,
  derived,
  distinct,
  each,
  fraudShare,
  isNew,
  mean,
  request,
  secondsSincePrevious,
  service,
  shareSame,
  std,
  sum,
  targetMean,
  view,
} from 'fd/features'

const windows = ['10m', '1h', '24h', '7d', '90d'] as const

/** For a card simulator's table: velocity and habits of a card, distance from home, risk of merchants. */
export default service('own', 'Velocity and habits of a card, distance from home, risk of merchants', [
  request({
    amount: amount(),
    hour: 'hour(time, "America/New_York")',
    weekday: 'weekday(time, "America/New_York")',
    km: 'haversine(lat, long, merch_lat, merch_long)',
    online: 'category in ["shopping_net", "misc_net", "grocery_net"]',
    category: categorical('category'),
  }),
  view(
    'card',
    { entity: 'card' },
    {
      ...each(windows, (w) => ({
        [`n_${w}`]: count(w),
        [`spent_${w}`]: sum('amount', w),
        [`merchants_${w}`]: distinct('merchant', w),
      })),
      usual: mean('amount', '90d'),
      spread: std('amount', '90d'),
      nightly_7d: count('7d', { where: 'hour(time, "America/New_York") < 4' }),
      new_merchant: isNew('merchant', '90d'),
      same_category: shareSame('category', '30d'),
      since: secondsSincePrevious(),
    },
  ),
  view('card_merchant', { entity: 'card_merchant' }, { n_here_90d: count('90d') }),
  view('merchant', { entity: 'merchant', includesCurrent: false }, { risk_30d: fraudShare('30d', { delay: '7d' }) }),
  view(
    'category',
    { entity: 'category', includesCurrent: false },
    {
      category_risk: targetMean('30d', { delay: '7d', prior: 0.015, weight: 50 }),
      category_mean: mean('amount', '30d'),
      category_std: std('amount', '30d'),
    },
  ),
  derived({
    times_usual: 'amount / max(usual, 1.0)',
    odd_for_category: '(amount - category_mean) / category_std',
  }),
])
