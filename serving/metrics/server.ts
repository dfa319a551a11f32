import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { errorCode, UserError } from '../../configs/user-error.ts'

/** The answer of a page. */
export interface Page {
  status: number
  type: string
  text: string
}

export interface MetricsServer extends AsyncDisposable {
  /** `http://HOST:PORT` */
  url: string
}

/**
 * Serves pages by path over HTTP, for Prometheus and health checks. It answers GET only and knows neither TLS nor
 * users, so it belongs on 127.0.0.1 or a private network. Port 0 takes a free port.
 *
 * @throws UserError when the port is taken or may not be opened by this user, or the host is not an address of this
 * machine.
 */
export async function serveMetrics(
  { host, port }: { host: string; port: number },
  pages: Record<string, () => Promise<Page>>,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]
    const answer = ({ status, type, text }: Page): void =>
      void response.writeHead(status, { 'content-type': type }).end(text)
    const fault = (status: number, text: string): void => answer({ status, type: 'text/plain', text: `${text}\n` })
    if (request.method !== 'GET') return fault(405, 'GET only')
    if (!Object.hasOwn(pages, path)) return fault(404, `There is ${Object.keys(pages).join(', ')}`)
    pages[path]().then(answer, (error: unknown) => fault(500, String(error)))
  })
  try {
    await once(server.listen(port, host), 'listening')
  } catch (error) {
    throw explained(error, host, port)
  }
  // An open connection must not keep the scorer from ending.
  server.unref()
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function explained(error: unknown, host: string, port: number): unknown {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return new UserError(`Port ${port} of ${host}, for the metrics, is taken. Use another: --metrics PORT`, {
        cause: error,
      })
    case 'EACCES':
      return new UserError(`Port ${port}, for the metrics, is not ours to open. Use one from 1024: --metrics PORT`, {
        cause: error,
      })
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new UserError(
        `"${host}", for the metrics, is no address of this machine. ` +
          'Set metrics.host (FD_METRICS_HOST) to one, or leave it out for 127.0.0.1.',
        { cause: error },
      )
    default:
      return error
  }
}
