import type { Settings } from './schema.ts';
import type { SettingsProblem } from './settings-error.ts';

/** What no single setting can tell: each rule returns a problem or null, whatever state the other settings are in. */
type Rule = (settings: Settings) => Omit<SettingsProblem, 'variable'> | null;

const generateKeys = 'Set it to a key as `rollcall keys generate` prints it, and keep a copy in a safe place';

const requireSealingKeys: Rule = ({ secrets }) =>
  secrets.sealingKeys.length > 0
    ? null
    : { path: 'secrets.sealingKeys', problem: 'a sealing key is required', fix: generateKeys };

const requireCookieKeys: Rule = ({ secrets }) =>
  secrets.cookieKeys.length > 0 ? null : { path: 'secrets.cookieKeys', problem: 'a cookie key is required', fix: generateKeys };

const uniqueSealingKeyIds: Rule = ({ secrets }) => repeatedId('secrets.sealingKeys', secrets.sealingKeys);
const uniqueCookieKeyIds: Rule = ({ secrets }) => repeatedId('secrets.cookieKeys', secrets.cookieKeys);

function repeatedId(path: string, keys: readonly string[]): ReturnType<Rule> {
  const ids = keys.map((key) => key.split(':')[0]);
  return new Set(ids).size === ids.length
    ? null
    : { path, problem: 'two keys have the same id', fix: 'Give each key an id of its own' };
}

const httpsInProduction: Rule = ({ mode, publicUrl }) =>
  mode !== 'production' || publicUrl.startsWith('https:')
    ? null
    : {
        path: 'publicUrl',
        problem: 'it must begin with https:// in production',
        fix: 'Set it to the address that browsers use, or ROLLCALL_MODE=development to try things out',
      };

const leaseOutlastsAttempt: Rule = ({ delivery }) =>
  delivery.leaseSeconds > delivery.timeoutSeconds
    ? null
    : {
        path: 'delivery.leaseSeconds',
        problem: 'it must be greater than delivery.timeoutSeconds',
        fix: 'Make it several times as long, so that an attempt ends before its lease does',
      };

const formFitsResponse: Rule = ({ http, saml }) =>
  http.maxFormBytes >= Math.ceil(saml.maxResponseBytes / 3) * 4
    ? null
    : {
        path: 'http.maxFormBytes',
        problem: 'a SAML response of saml.maxResponseBytes does not fit into it in base64',
        fix: 'Make it at least one and a half times as large',
      };

const oneLicence: Rule = ({ licence }) =>
  licence.token === null || licence.file === null
    ? null
    : {
        path: 'licence.file',
        problem: 'licence.token is set too, and which of the two counts would be a guess',
        fix: 'Set one of them',
      };

export const rules: readonly Rule[] = [
  httpsInProduction,
  requireSealingKeys,
  requireCookieKeys,
  uniqueSealingKeyIds,
  uniqueCookieKeyIds,
  leaseOutlastsAttempt,
  formFitsResponse,
  oneLicence,
];
