import { expect, test } from 'vitest'
import { UserError } from '../../../configs/user-error.ts'
import { parseKafkaUrl } from './location.ts'

test.each(['kafka://%zz:p@h:1', 'kafka://u:p%@h:1', 'kafka://u:%E0%A4@h:1'])(
  '%s has an escape that is none: told, without the password',
  (url) => {
    expect(() => parseKafkaUrl(url)).toThrow(UserError)
    expect(() => parseKafkaUrl(url)).toThrow(
      /^User or password in kafka:\/\/[^:]+:\*\*\*@h:1 has a "%" that begins no escape/,
    )
  },
)
