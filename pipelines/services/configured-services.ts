import type { Config } from '../../configs/config.ts'
import { makeCredentials } from './credentials.ts'
import type { Service } from './service.ts'

/** The services that a configuration names, in the order in which they are started. */
export async function configuredServices(config: Config): Promise<Service[]> {
  const credentials = await makeCredentials(config.home)
  const { redis, kafka, mlflow, s3 } = config.services
  const found: Service[] = []
  if (redis !== undefined) found.push((await import('./redis.ts')).redisService(redis, credentials))
  if (s3 !== undefined) found.push((await import('./s3.ts')).s3Service(s3, config.cache, credentials))
  if (kafka !== undefined) found.push((await import('./kafka.ts')).kafkaService(kafka, config.cache))
  if (mlflow !== undefined) found.push((await import('./mlflow.ts')).mlflowService(mlflow, config.cache))
  return found
}
