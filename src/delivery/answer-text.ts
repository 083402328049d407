const maxBytes = 1_024;
/** As much of the answer as is looked at: a secret that begins within the kept part ends within this. */
const readBytes = 8 * maxBytes;
/** Shorter ones would blot out ordinary words, and protect nothing. */
const minSecretCharacters = 4;
const blot = '[redacted]';

/**
 * The beginning of an answer's body as it may be kept and shown: text of at most 1 KiB, without what we sent as a secret. Receivers
 * echo requests in their error pages.
 * @param secrets header values and signatures of the request
 * @returns null for an empty body
 */
export function answerText(body: Buffer, secrets: readonly string[]): string | null {
  if (body.length === 0) return null;
  // Postgres takes no NUL in text; the decoder replaces what is no UTF-8.
  let text = new TextDecoder().decode(body.subarray(0, readBytes)).replaceAll('\0', '');
  for (const secret of secrets) {
    if (secret.length < minSecretCharacters) continue;
    // As it is, and as JSON would quote it.
    for (const form of new Set([secret, JSON.stringify(secret).slice(1, -1)])) text = text.replaceAll(form, blot);
    if (/&.*;|%/s.test(text)) text = text.replace(writtenOtherwise(secret), blot);
  }
  return firstBytes(text) || null;
}

const entities: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' };

/** The secret as HTML or an address may write it, each character in its own way. Header values and signatures are ASCII. */
function writtenOtherwise(secret: string): RegExp {
  const forms = [...secret].map((character) => {
    const code = character.charCodeAt(0);
    const hex = code.toString(16).padStart(2, '0');
    const literal = character === ' ' ? '[ +]' : `\\u{${hex}}`;
    const entity = entities[character] === undefined ? '' : `|&${entities[character]};`;
    return `(?:${literal}|%${anyCase(hex)}|&#0{0,4}${code};|&#[xX]0{0,4}${anyCase(code.toString(16))};${entity})`;
  });
  return new RegExp(forms.join(''), 'gu');
}

function anyCase(hex: string): string {
  return hex.replace(/[a-f]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}

function firstBytes(text: string): string {
  if (text.length * 3 <= maxBytes) return text;
  // `stream`: a character that the cut went through is left out, not replaced.
  return new TextDecoder().decode(Buffer.from(text).subarray(0, maxBytes), { stream: true });
}
