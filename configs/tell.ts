/**
 * Hears in a sentence what a call to a service waits for. `outage` says what the sentence means where it is about the service being
 * away: `lost` when the wait has begun, `back` when it is over.
 */
export type Tell = (line: string, outage?: 'lost' | 'back') => void
