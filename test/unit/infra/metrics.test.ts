import { expect, test } from 'vitest';
import { createMetrics } from '../../../src/infra/metrics.ts';

test('counts logins, requests, deliveries and fallbacks with their labels', async () => {
  const metrics = createMetrics();
  metrics.countLogin('signed_in', 'saml');
  metrics.countLogin('signed_in', 'saml');
  metrics.countLogin('assertion_rejected', 'oidc');
  metrics.observeHttpRequest({ method: 'POST', route: '/saml/:connection/acs', status: 302, seconds: 0.004 });
  metrics.countDelivery('delivered');
  metrics.countStoreFallback('take');
  const text = await metrics.text();
  expect(text).toContain('rollcall_logins_total{outcome="signed_in",protocol="saml"} 2');
  expect(text).toContain('rollcall_logins_total{outcome="assertion_rejected",protocol="oidc"} 1');
  expect(text).toContain(
    'rollcall_http_request_duration_seconds_bucket{le="0.005",method="POST",route="/saml/:connection/acs",status="302"} 1',
  );
  expect(text).toContain('rollcall_deliveries_total{outcome="delivered"} 1');
  expect(text).toContain('rollcall_expiring_store_fallbacks_total{operation="take"} 1');
  expect(metrics.contentType).toContain('text/plain');
});

test('two brokers in one process count apart', async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.countDelivery('failed');
  expect(await one.text()).toContain('rollcall_deliveries_total{outcome="failed"} 1');
  expect(await other.text()).not.toContain('outcome="failed"');
});

test('measures the process only when told', async () => {
  expect(await createMetrics().text()).not.toContain('process_cpu_seconds_total');
  expect(await createMetrics({ processMetrics: true }).text()).toContain('process_cpu_seconds_total');
});
