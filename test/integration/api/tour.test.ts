import { readFileSync } from 'node:fs';
import request from 'supertest';
import { expect, it } from 'vitest';
import { bootstrapApiKey } from '../../support/api-stores.ts';
import { useApi } from '../../support/api-world.ts';

const api = useApi();
const page = readFileSync(new URL('../../../docs/api.md', import.meta.url), 'utf8');

/** Each command of the page, with the answer that follows it. */
const steps = [...page.matchAll(/```sh\n([\s\S]*?)```\n(?:```json\n([\s\S]*?)```)?/g)].map(([, command = '', answer]) => ({
  command: command.replace(/\\\n\s*/g, ''),
  answer: answer === undefined ? null : (JSON.parse(answer) as unknown),
}));

/** The words of a command line, without quotes, variables filled in as a shell does. */
function words(command: string, variables: Readonly<Record<string, string>>): string[] {
  const filled = (text: string) => text.replace(/\$(\w+)/g, (_, name: string) => variables[name] ?? `(${name} is not set)`);
  const parts = command.trim().match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) ?? [];
  return parts.map((part) =>
    part.replace(
      /'([^']*)'|"([^"]*)"|([^'"]+)/g,
      (_, literal?: string, quoted?: string, plain?: string) => literal ?? filled(quoted ?? plain ?? ''),
    ),
  );
}

/** Sends what a curl command would. */
async function run(command: string, variables: Readonly<Record<string, string>>) {
  const [program, ...rest] = words(command, variables);
  expect(program).toBe('curl');
  let [method, url, body]: (string | undefined)[] = [undefined, undefined, undefined];
  const headers: Record<string, string> = {};
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '-X') method = rest.shift();
    else if (word === '--json') body = rest.shift();
    else if (word === '-H') {
      const [name = '', ...value] = (rest.shift() ?? '').split(': ');
      headers[name] = value.join(': ');
    } else url = word;
  }
  const verb = (method ?? (body === undefined ? 'GET' : 'POST')).toLowerCase() as 'get' | 'post' | 'put' | 'patch' | 'delete';
  const call = request(api.server.app)
    [verb](url ?? '')
    .set(headers);
  return body === undefined ? call : call.set('Content-Type', 'application/json').send(body);
}

/** The answer with `…` where the page has it. */
function asPrinted(answer: unknown, printed: unknown): unknown {
  if (printed === '…') return answer === undefined ? undefined : '…';
  if (Array.isArray(answer) && Array.isArray(printed)) return answer.map((each, index) => asPrinted(each, printed[index]));
  if (typeof answer !== 'object' || answer === null || typeof printed !== 'object' || printed === null) return answer;
  return Object.fromEntries(
    Object.entries(answer).map(([field, value]) => [field, asPrinted(value, (printed as Record<string, unknown>)[field])]),
  );
}

it('the tour of the API in the docs gives the answers that are printed there', async () => {
  await api.database.db.raw('TRUNCATE workspaces CASCADE');
  const variables: Record<string, string> = { ROLLCALL: '', KEY: bootstrapApiKey };
  const names = { workspace_id: 'WORKSPACE', key_id: 'KEY_ID', endpoint_id: 'ENDPOINT' };
  expect(steps.length).toBeGreaterThan(8);
  for (const { command, answer } of steps) {
    const { status, body } = await run(command, variables);
    if (answer === null) expect(status, command).toBe(204);
    else expect(asPrinted(body, answer), command).toEqual(answer);
    for (const [field, name] of Object.entries(names)) if (typeof body[field] === 'string') variables[name] = body[field];
  }
});
