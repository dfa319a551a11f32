import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { errorCode, UserError } from '../../configs/user-error.ts'

/** What a page answers. */
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
 * Serves pages by path over HTTP, for Prometheus and health checks: GET alone, no TLS, no users, so it belongs on 127.0.0.1
 * or a network of one's own. Port 0 takes a free one.
 *
 * @throws UserError when the port is taken or not ours to open, or the host is none of this machine's.
 */
export async function serveMetrics(
  { host, port }: { host: string; port: number },
  pages: Record<string, () => Promise<Page>>,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]
    const answer = ({ status, type, text }: Page): void =>
      void response.writeHead(status, { 'content-type': type }).end(text)
    if (request.method !== 'GET') return answer({ status: 405, type: 'text/plain', text: 'GET only\n' })
    if (!Object.hasOwn(pages, path))
      return answer({ status: 404, type: 'text/plain', text: `There is ${Object.keys(pages).join(', ')}\n` })
    pages[path]().then(answer, (error: unknown) =>
      answer({ status: 500, type: 'text/plain', text: `${String(error)}\n` }),
    )
  })
  try {
    await once(server.listen(port, host), 'listening')
  } catch (error) {
    throw explained(error, host, port)
  }
  // The scorer ends when it has scored, whoever may still be connected.
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
  const code = errorCode(error)
  if (code === 'EADDRINUSE')
    return new UserError(`Port ${port} of ${host}, for the metrics, is taken. Use another: --metrics PORT`, {
      cause: error,
    })
  if (code === 'EACCES')
    return new UserError(`Port ${port}, for the metrics, is not ours to open. Use one from 1024: --metrics PORT`, {
      cause: error,
    })
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return new UserError(
      `"${host}", for the metrics, is no address of this machine. Set metrics.host (FD_METRICS_HOST) to one, or leave it out for 127.0.0.1.`,
      { cause: error },
    )
  return error
}
