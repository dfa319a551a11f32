import { expect, test } from 'vitest'
import { decodedPart, withoutPassword } from './url.ts'
import { UserError } from './user-error.ts'

test.each([
  ['http://ann:secret@host:5000/a', 'http://ann:***@host:5000/a'],
  ['kafka://ann:a@b:c@host', 'kafka://ann:***@host'],
  ['kafka://ann:a/b?c#d\ne@host', 'kafka://ann:***@host'],
  ['kafka://u:p@a:1,b:2?sasl=plain', 'kafka://u:***@a:1,b:2?sasl=plain'],
  ['HTTP://ann:12/secret@host:5000', 'HTTP://ann:***@host:5000'],
  ['http://h/x@y', 'http://h/x@y'],
  ['redis://:secret@host', 'redis://:***@host'],
  ['http://host:5000', 'http://host:5000'],
  ['s3://KEY:SECRET@bucket/a', 's3://KEY:***@bucket/a'],
  ['s3://bucket/a@b?endpoint=http://h:1', 's3://bucket/a@b?endpoint=http://h:1'],
  ['lmdb:/home/a:b@c', 'lmdb:/home/a:b@c'],
])('%s is shown as %s', (url, shown) => {
  expect(withoutPassword(url)).toBe(shown)
})

test('a percent sign that begins no escape is told, without the text, which may be a password', () => {
  expect(decodedPart('a%40b', 'x://h')).toBe('a@b')
  for (const part of ['%zz', 'p%', '%E0%A4%A']) {
    expect(() => decodedPart(part, 'x://h')).toThrow(UserError)
    expect(() => decodedPart(part, 'x://h')).toThrow(/^User or password in x:\/\/h has a "%"/)
  }
})
