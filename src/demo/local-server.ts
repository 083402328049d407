import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';

/** A server that knows its own address before it is told what to answer, so that port 0 works. */
export interface LocalServer {
  /** Scheme, host and port; no trailing slash. */
  readonly url: string;
  answerWith(listener: RequestListener): void;
  /** Ends every connection, live lists too. */
  close(): Promise<void>;
}

/**
 * Listens on `host` only.
 * @param name for the error, when the port is taken
 */
export async function openLocalServer(options: { host: string; port: number; name: string }): Promise<LocalServer> {
  const server = createServer();
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host}:${port}`,
    answerWith: (listener) => {
      server.on('request', listener);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, { host, port, name }: { host: string; port: number; name: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const advice =
        cause.code === 'EADDRINUSE' ? `port ${port} is in use: stop the other program, or choose another port` : cause.message;
      reject(new Error(`The ${name} cannot start: ${advice}`, { cause }));
    });
    server.listen(port, host, resolve);
  });
}

/**
 * An Express application with what both demo servers share: answers to their own name only, strict headers, style sheet and scripts.
 * @param formTargets what a form on a page may reach besides the server itself, redirects included (CSP3 form-action)
 */
export function createLocalApp({ url, formTargets }: { url: string; formTargets: () => readonly string[] }): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(refuseForeignHost(url));
  app.use(
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'none'"],
          styleSrc: ["'self'"],
          scriptSrc: ["'self'"],
          imgSrc: ["'self'"],
          connectSrc: ["'self'"],
          formAction: ["'self'", () => formTargets().join(' ')],
          baseUri: ["'none'"],
          frameAncestors: ["'none'"],
        },
      },
      // `no-referrer` would also blank the Origin header of the pages' own forms.
      referrerPolicy: { policy: 'same-origin' },
      strictTransportSecurity: false,
    }),
  );
  app.use('/assets', express.static(`${import.meta.dirname}/assets`, { index: false }));
  return app;
}

/** A page of the web that rebinds its name to the loopback address still sends its own name. */
function refuseForeignHost(url: string): RequestHandler {
  const { host } = new URL(url);
  return (request, response, next) => {
    if (request.headers.host === host) next();
    else response.status(421).type('text').send(`This server answers to ${host} only.\n`);
  };
}

/**
 * For forms that only the server's own pages send. Cookies ignore ports, and the demo's servers share a host, so `SameSite` does not tell
 * them apart; browsers say where a form comes from. A request that says nothing comes from no browser.
 */
export function refuseForeignForms(url: string): RequestHandler {
  return (request, response, next) => {
    const site = request.headers['sec-fetch-site'];
    const { origin } = request.headers;
    const foreign = site === undefined ? origin !== undefined && origin !== url : site !== 'same-origin';
    if (foreign) response.status(403).type('text').send('This form belongs to another site.\n');
    else next();
  };
}
