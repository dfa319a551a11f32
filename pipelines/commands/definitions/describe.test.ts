import { expect, test } from 'vitest'
import { distinct, ever, isNew, mean, service, std, sum, view } from '../../../features/definition/builders.ts'
import { cardFraud } from '../../../features/definition/card-fraud.ts'
import { kaggleCc } from '../../../features/definition/kaggle-cc.ts'
import { spanText, windowText } from './meaning.ts'
import { exampleText } from './worked-example.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

test('windows are written as they are defined', () => {
  expect(windowText({ length: 7 * DAY, delay: 7 * DAY })).toBe('(t − 7d − 7d, t − 7d]')
  expect(windowText({ length: 1.5 * HOUR })).toBe('(t − 90m, t]')
  expect(windowText({ length: 90 * DAY, hop: DAY })).toBe('(t − 90d back to a whole 1d, t]')
  expect(windowText({ last: 5 })).toBe('the last 5')
  expect([windowText({ ever: true }), windowText({ ever: true, delay: DAY })]).toEqual(['(−∞, t]', '(−∞, t − 1d]'])
  expect([1, 1500, 61_000, 3 * DAY].map(spanText)).toEqual(['1ms', '1500ms', '61s', '3d'])
})

/** The values of an example by feature. */
function valuesOf(text: string): Record<string, string> {
  const [, rows] = text.split(/─+\n/)
  return Object.fromEntries(
    rows.split('\n').map((line) => {
      const cells = line.split(/ {2,}/)
      return [cells[0], cells.at(-1) ?? '']
    }),
  )
}

test('an example is what the fold makes of the payments that it tells', async () => {
  const text = await exampleText(cardFraud, undefined)
  expect(text).toContain('one customer that paid 10 at t − 60d, 20 at t − 15d (fraud, known since), 30 at t − 1h,')
  expect(valuesOf(text)).toMatchObject({
    customer_id_nb_tx_1day_window: '3',
    customer_id_avg_amount_1day_window: '40',
    customer_id_nb_tx_30day_window: '4',
    customer_id_avg_amount_30day_window: '35',
  })
})

test('columns of functions are in the example, too; a service without windows has none', async () => {
  const shop = service('shop', '', [
    view(
      'card',
      { entity: 'card', includesCurrent: false },
      {
        devices: distinct('device', '7d'),
        new_device: isNew('device', '7d'),
        weight: sum('weight', ever),
        spread: std('weight', '7d'),
        usual: mean('amount', '7d'),
      },
    ),
  ])
  expect(valuesOf(await exampleText(shop, undefined))).toEqual({
    devices: '2',
    new_device: '0',
    weight: '2',
    spread: expect.stringMatching(/^0\.5/) as string,
    usual: '30',
  })
  expect(await exampleText(kaggleCc, undefined)).toBe('')
})
