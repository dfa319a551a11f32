import {
  amount,
  categorical,
  count,
  derived,
  distinct,
  each,
  isNew,
  mean,
  numeric,
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
const counts = Array.from({ length: 14 }, (_, n) => `C${n + 1}`)
const blocks = Array.from({ length: 339 }, (_, n) => `V${n + 1}`)

/** For a table of an e-commerce: its own columns, velocity of buyers and addresses, risk of addresses and e-mails. */
export default service('own', 'Columns of the table, velocity of buyers and addresses, risk of e-mail domains', [
  request({
    amount: amount(),
    log_amount: 'log1p(amount)',
    hour: 'hour(time, "America/Los_Angeles")',
    product: categorical('ProductCD'),
    email: categorical('P_emaildomain'),
    other_email: 'P_emaildomain != R_emaildomain',
    distance: 'coalesce(dist1, dist2, -1.0)',
    ...each([...counts, 'D1', 'D2', ...blocks], (column) => ({ [column]: numeric(column) })),
    ...each(['M1', 'M4', 'M6'], (column) => ({ [column]: categorical(column) })),
  }),
  view(
    'buyer',
    { entity: 'card_address' },
    {
      ...each(windows, (w) => ({ [`n_${w}`]: count(w), [`spent_${w}`]: sum('amount', w) })),
      products_7d: distinct('ProductCD', '7d'),
      new_email: isNew('P_emaildomain', '90d'),
      same_email: shareSame('P_emaildomain', '90d'),
      usual: mean('amount', '90d'),
      spread: std('amount', '90d'),
      since: secondsSincePrevious(),
    },
  ),
  view(
    'address',
    { entity: 'address', includesCurrent: false },
    {
      ...each(['1h', '7d'], (w) => ({ [`cards_${w}`]: distinct('card', w) })),
      address_risk: targetMean('30d', { delay: '7d', prior: 0.03, weight: 20 }),
    },
  ),
  view(
    'email',
    { entity: 'email', includesCurrent: false },
    {
      email_risk: targetMean('30d', { delay: '7d', prior: 0.03, weight: 50 }),
      email_mean: mean('amount', '30d'),
      credit_24h: count('24h', { where: 'card6 == "credit"' }),
    },
  ),
  derived({ times_usual: 'amount / max(usual, 1.0)', times_email: 'amount / max(email_mean, 1.0)' }),
])
