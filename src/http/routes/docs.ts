import { createRequire } from 'node:module';
import path from 'node:path';
import { type Response, Router } from 'express';
import { BrokerError } from '../../domain/broker-error.ts';
import { html, renderHtml } from '../html.ts';

const viewerFolder = path.dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));

/** Loads and runs what this server sends, and nothing else; the viewer's icons are in its style sheet. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The key that a reader enters stays in the page and is gone with it. */
const start = `window.addEventListener('load', () => {
  SwaggerUIBundle({
    url: '/v1/openapi.json',
    dom_id: '#viewer',
    deepLinking: true,
    persistAuthorization: false,
    validatorUrl: null,
    tryItOutEnabled: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
  });
});
`;

const style = `body { margin: 0; background: #fff; } noscript { display: block; padding: 2rem; font: 1rem/1.5 system-ui, sans-serif; }
`;

/** A browsable page of the API's description, all of it served from here. */
export function createDocsRoutes(): Router {
  const router = Router();

  router.get('/', (_req, res) => {
    const page = html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Rollcall API</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/v1/docs/assets/swagger-ui.css">
    <link rel="stylesheet" href="/v1/docs/assets/page.css">
  </head>
  <body>
    <div id="viewer"></div>
    <noscript>This page needs JavaScript. The description itself is at <a href="/v1/openapi.json">/v1/openapi.json</a>.</noscript>
    <script src="/v1/docs/assets/swagger-ui-bundle.js"></script>
    <script src="/v1/docs/assets/start.js"></script>
  </body>
</html>`;
    res.setHeader('content-security-policy', contentSecurityPolicy);
    res.type('html').send(renderHtml(page));
  });

  router.get('/assets/:file', (req, res) => {
    const send = assets[req.params.file];
    if (!send) throw new BrokerError('not_found', 'the viewer has no such part');
    res.setHeader('cache-control', 'public, max-age=3600');
    send(res);
  });

  return router;
}

const fromViewer = (file: string) => (res: Response) => res.sendFile(file, { root: viewerFolder, cacheControl: false });

/** By name: nothing else of the package can be asked for. */
const assets: Readonly<Record<string, (res: Response) => unknown>> = Object.assign(Object.create(null), {
  'swagger-ui.css': fromViewer('swagger-ui.css'),
  'swagger-ui-bundle.js': fromViewer('swagger-ui-bundle.js'),
  'start.js': (res: Response) => res.type('js').send(start),
  'page.css': (res: Response) => res.type('css').send(style),
});
