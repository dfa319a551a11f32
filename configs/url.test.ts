import { expect, test } from 'vitest'
import { withoutPassword } from './url.ts'

test.each([
  ['http://ann:secret@host:5000/a', 'http://ann:***@host:5000/a'],
  ['kafka://ann:a@b:c@host', 'kafka://ann:***@host'],
  ['redis://:secret@host', 'redis://:***@host'],
  ['http://host:5000', 'http://host:5000'],
  ['s3://bucket/a@b?endpoint=http://h:1', 's3://bucket/a@b?endpoint=http://h:1'],
  ['lmdb:/home/a:b@c', 'lmdb:/home/a:b@c'],
])('%s is shown as %s', (url, shown) => {
  expect(withoutPassword(url)).toBe(shown)
})
