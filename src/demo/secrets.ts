import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';

const secretsSchema = z.strictObject({
  sealingKey: z.string(),
  cookieKey: z.string(),
  apiKey: z.string(),
  clientSecret: z.string(),
  idpClientSecret: z.string(),
  webhookSecret: z.string(),
});
export type DemoSecrets = z.infer<typeof secretsSchema>;

/** The demo makes its own secrets and keeps them beside the data that they open (mode 0600). */
export async function readSecrets(dataFolder: string): Promise<DemoSecrets> {
  const file = path.join(dataFolder, 'secrets.json');
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text !== null) return secretsSchema.parse(JSON.parse(text));
  const random = () => randomBytes(32).toString('base64');
  const secrets: DemoSecrets = {
    sealingKey: `demo:${random()}`,
    cookieKey: `demo:${random()}`,
    apiKey: randomBytes(32).toString('base64url'),
    clientSecret: randomBytes(32).toString('base64url'),
    idpClientSecret: randomBytes(32).toString('base64url'),
    webhookSecret: `whsec_${random()}`,
  };
  await mkdir(dataFolder, { recursive: true });
  await writeFile(file, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  return secrets;
}
