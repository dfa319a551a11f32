import { expect, test } from 'vitest'
import { clockSkew, judgeClock } from './clock-skew.ts'

test(
  'a clock is warned of only when it is surely wrong: ' +
    'beyond a second, whatever of the round trip and of its grain is in doubt',
  () => {
    // The server is 400 ms ahead and tells its time to the millisecond; its answer took 20 ms.
    expect(clockSkew(1000, 1410, 1020, 1)).toEqual({ least: 390, most: 411 })
    expect(judgeClock(clockSkew(1000, 1410, 1020, 1), 'The clock of X')).toBe(
      'The clock of X and this machine agree to within 0.411 s',
    )
    // A difference of 1.9 s, told in whole seconds, may be one of 0.9 s: no warning.
    expect(judgeClock(clockSkew(10_900, 9000, 10_910, 1000), 'X')).toBe('X and this machine agree to within 1.910 s')
    expect(judgeClock(clockSkew(10_000, 12_000, 10_010, 1000), 'X')).toMatchObject({
      state: 'warning',
      detail: expect.stringMatching(/^X is at least 1\.990 s ahead of this machine\. .*timedatectl set-ntp true/),
    })
    expect(judgeClock(clockSkew(10_000, 7000, 10_010, 1000), 'X')).toMatchObject({
      state: 'warning',
      detail: expect.stringMatching(/^X is at least 2\.000 s behind/),
    })
  },
)
