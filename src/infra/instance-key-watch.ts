import { isDeepStrictEqual } from 'node:util';
import type { InstanceKeySet } from './instance-keys.ts';
import type { Log } from './log.ts';

/**
 * The keys in force, read again from time to time, so that a running process follows a rotation. While Postgres does not answer, the
 * last ones stay.
 * @param deps.onChange called with other keys than before, also when only their order changed
 */
export function createInstanceKeyWatch(deps: {
  readonly load: () => Promise<InstanceKeySet>;
  readonly first: InstanceKeySet;
  readonly refreshSeconds: number;
  readonly onChange: (keys: InstanceKeySet) => void;
  readonly log: Log;
}) {
  const { load, refreshSeconds, onChange, log } = deps;
  let current = deps.first;
  let timer: NodeJS.Timeout | undefined;
  let checking: Promise<void> = Promise.resolve();

  async function check(): Promise<void> {
    const fresh = await load();
    if (isDeepStrictEqual(namesOf(fresh), namesOf(current))) return;
    current = fresh;
    onChange(fresh);
    log.info({ signing: fresh.tokenSigning.map(({ keyId }) => keyId) }, 'the keys of the instance changed');
  }

  return {
    current: (): InstanceKeySet => current,

    /** @throws what `load` does; the keys stay */
    check,

    start(): void {
      const again = () => {
        checking = check()
          .catch((error: unknown) => log.warn({ err: error }, 'the keys of the instance cannot be read; the last ones stay'))
          .then(() => {
            if (timer) timer = setTimeout(again, refreshSeconds * 1_000).unref();
          });
      };
      timer = setTimeout(again, refreshSeconds * 1_000).unref();
    },

    async stop(): Promise<void> {
      clearTimeout(timer);
      timer = undefined;
      await checking;
    },
  };
}

function namesOf({ tokenSigning, samlSigning, samlSigningNext, samlDecryption, webhookSigning }: InstanceKeySet): unknown {
  const ids = (keys: readonly { readonly keyId: string }[]) => keys.map(({ keyId }) => keyId);
  const certificates = samlDecryption.map(({ certificate }) => certificate);
  return [ids(tokenSigning), samlSigning.certificate, samlSigningNext, certificates, ids(webhookSigning)];
}
