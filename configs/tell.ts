/**
 * Takes a sentence that says what a call to a service waits for. When the sentence is about a service that is away,
 * `outage` says which: `lost` when the wait begins, `back` when it is over.
 */
export type Tell = (line: string, outage?: 'lost' | 'back') => void
