import { createRequire } from 'node:module';

/** The package has no types of its own. */
const { validate }: { validate: (xml: string) => Promise<boolean> } = createRequire(import.meta.url)(
  '@authenio/samlify-xmllint-wasm',
);

/** Validates a protocol message against the SAML 2.0 schemas; rejects if it does not fit. */
export const validateSamlMessage = validate;
