import { isCardNumber } from '../../../datasets/file/shown-text.ts'
import { randomStream, type Random } from '../../../datasets/random/random.ts'
import { moments, pick, rounded, spend, strikes, type Cell, type Strike, type Table, type TableSize } from './table.ts'

/** The categories of merchants, and what is usually spent there. */
const CATEGORIES: [name: string, typical: number][] = [
  ['gas_transport', 60],
  ['grocery_pos', 110],
  ['home', 50],
  ['shopping_pos', 20],
  ['kids_pets', 50],
  ['shopping_net', 25],
  ['entertainment', 50],
  ['food_dining', 40],
  ['personal_care', 35],
  ['health_fitness', 45],
  ['misc_pos', 20],
  ['misc_net', 25],
  ['grocery_net', 50],
  ['travel', 8],
]
/** What a stolen card is used for, and how much. */
const STOLEN: Record<string, number> = { shopping_net: 950, misc_net: 780, grocery_pos: 310, shopping_pos: 850 }

const JOBS = ['Psychologist, counselling', 'Systems analyst', 'Nurse, adult', 'Surveyor', 'Materials engineer']
const STATES = ['NC', 'WA', 'ID', 'MT', 'VA', 'PA', 'KS', 'TX']
const DAYS = 180
const FIRST_DAY = Date.UTC(2019, 0, 1)
/** The set's seconds are of other years than its dates. */
const OTHER_DAY = Date.UTC(2012, 0, 1)

interface Card {
  /** `cc_num` to `zip`, apart from merchant and amount. */
  number: string
  person: Cell[]
  lat: number
  long: number
  cityPop: number
  job: string
  dob: string
  /** How much this one spends of what is usual. */
  thrift: number
  /** The merchants where most is bought. */
  usual: Merchant[]
}

/**
 * A card simulator's table: home and merchant with their coordinates, category, job, date of birth, text times and a
 * count of seconds that is of other years, an index without a name in front. Card numbers have 13 to 19 digits. Frauds
 * come in bursts, at night, far from home, and are dear for their category.
 */
export function cardTable({ rows, seed }: TableSize): Table {
  const columns = [
    '',
    'trans_date_trans_time',
    'cc_num',
    'merchant',
    'category',
    'amt',
    'first',
    'last',
    'gender',
    'street',
    'city',
    'state',
    'zip',
    'lat',
    'long',
    'city_pop',
    'job',
    'dob',
    'trans_num',
    'unix_time',
    'merch_lat',
    'merch_long',
    'is_fraud',
  ]
  return { columns, rows: cardRows(rows, seed) }
}

interface Merchant {
  name: string
  category: string
  typical: number
}

function* cardRows(size: number, seed: number): Generator<Cell[]> {
  const random = randomStream(seed, 1)
  const merchants = Array.from({ length: Math.min(690, 30 + Math.floor(size / 60)) }, (_, m) => someMerchant(random, m))
  const preyed = merchants.filter(({ category }) => category in STOLEN)
  const cards = Array.from({ length: Math.max(20, Math.floor(size / 150)) }, () => someCard(random, merchants))
  const frauds = strikes(random, { days: DAYS, frauds: Math.ceil(size * 0.015), victims: cards.length })
  for (const [row, { time, strike }] of moments(random, size, DAYS, frauds).entries()) {
    const card = cards[strike?.victim ?? random.integer(cards.length)]
    const known = random.uniform() < 0.8 ? card.usual : merchants
    const { name, category, typical } = pick(random, strike === undefined ? known : preyed)
    const amount = spend(random, strike === undefined ? typical * card.thrift : STOLEN[category])
    const written = new Date(FIRST_DAY + 1000 * time).toISOString().slice(0, 19).replace('T', ' ')
    yield [
      row,
      written,
      card.number,
      name,
      category,
      amount,
      ...card.person,
      card.lat,
      card.long,
      card.cityPop,
      card.job,
      card.dob,
      hex(random, 32),
      OTHER_DAY / 1000 + time,
      ...near(random, card, strike),
      strike === undefined ? 0 : 1,
    ]
  }
}

function someMerchant(random: Random, m: number): Merchant {
  const [category, typical] = CATEGORIES[m % CATEGORIES.length]
  const owner = pick(random, ['Kirlin', 'Sporer', 'Haley', 'Kutch'])
  return { name: `fraud_${owner}${pick(random, [' and Sons', ', Hane and Rau'])} ${m}`, category, typical }
}

function someCard(random: Random, merchants: readonly Merchant[]): Card {
  const [first, last] = [
    pick(random, ['Jennifer', 'Edward', 'Tyler', 'Mélanie']),
    pick(random, ['Banks', 'Gill', 'Lowe']),
  ]
  const place = random.integer(90)
  const day = (least: number): string => String(least + random.integer(28)).padStart(2, '0')
  return {
    number: cardNumber(random),
    person: [
      first,
      last,
      pick(random, ['F', 'M']),
      `${100 + random.integer(900)} Perry Cove, Suite ${random.integer(9)}`,
      `City ${place}`,
      STATES[place % STATES.length],
      1e4 + place,
    ],
    lat: rounded(30 + (place % 18) + random.uniform(), 4),
    long: rounded(-120 + (place % 45) + random.uniform(), 4),
    cityPop: 100 * (1 + place ** 2),
    job: pick(random, JOBS),
    dob: `${1940 + random.integer(60)}-0${1 + random.integer(9)}-${day(1)}`,
    thrift: Math.exp(random.normal(0, 0.4)),
    usual: Array.from({ length: 6 }, () => pick(random, merchants)),
  }
}

/** Of 13 to 19 digits, the last of which is right. Those of 19 have no float of their own. */
function cardNumber(random: Random): string {
  const length = pick(random, [13, 14, 15, 16, 16, 19])
  const digits = `${3 + random.integer(4)}${Array.from({ length: length - 2 }, () => random.integer(10)).join('')}`
  return Array.from({ length: 10 }, (_, last) => `${digits}${last}`).find(isCardNumber) ?? digits
}

function hex(random: Random, digits: number): string {
  return Array.from({ length: digits }, () => random.integer(16).toString(16)).join('')
}

/** Where the merchant is: within a degree or so of the home, but for most frauds. */
function near(random: Random, { lat, long }: Card, strike: Strike | undefined): [lat: number, long: number] {
  const spread = strike !== undefined && random.uniform() < 0.7 ? 4 : 0.5
  return [rounded(lat + random.normal(0, spread), 6), rounded(long + random.normal(0, spread), 6)]
}
