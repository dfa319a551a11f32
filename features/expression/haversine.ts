/** Kilometres: the mean radius of the earth (IUGG), (2a + b) / 3 of its ellipsoid. */
const EARTH_RADIUS = 6371.0088
const RADIANS = Math.PI / 180

/**
 * The great-circle distance of two places in kilometres, by the haversine formula, on a sphere of the earth's mean
 * radius. It is off by up to 0.5 % of the distance on the ellipsoid.
 *
 * @param lat1 degrees, as the others: latitudes from −90 to 90, longitudes of any number of turns.
 * @returns NaN where a value is missing or a latitude is none.
 */
export function haversine(lat1: number, lon1: number, lat2: number, lon2: number): number {
  if (!(Math.abs(lat1) <= 90 && Math.abs(lat2) <= 90)) return Number.NaN
  const north = Math.sin(((lat2 - lat1) * RADIANS) / 2)
  const east = Math.sin(((lon2 - lon1) * RADIANS) / 2)
  const chord = north * north + Math.cos(lat1 * RADIANS) * Math.cos(lat2 * RADIANS) * east * east
  // Rounding may bring the chord of two antipodes above 1, of which there is no arcsine.
  return 2 * EARTH_RADIUS * Math.asin(Math.sqrt(Math.min(1, chord)))
}
