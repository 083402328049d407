import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import type { SamlAssertion } from '../../../src/saml/response.ts';
import type { RespondOptions } from '../../support/saml-response-builder.ts';
import { base64, createSamlWorld, type SamlWorld } from '../../support/saml-world.ts';

/**
 * Whatever is done to an answer of the IdP, it is refused, or it says what the IdP signed. Seeds are random; a failure prints its own.
 */
interface Fixture {
  readonly xml: string;
  readonly assertion: SamlAssertion;
}

let fixtures: readonly Fixture[];
beforeAll(async () => {
  const world: SamlWorld = await createSamlWorld();
  const encrypt = { publicKey: world.spKey.publicKey };
  const variants: readonly Partial<RespondOptions>[] = [
    {},
    { signed: 'response' },
    { signed: 'both' },
    { typedValues: true },
    { encrypt },
    { signed: 'response', encrypt: { ...encrypt, content: 'aes128-cbc' } },
  ];
  fixtures = variants.map((options) => {
    const xml = world.idp.respondXml({ ...world.genuine, ...options });
    return { xml, assertion: world.verify(base64(xml)).assertion };
  });
  check = (message) => verdict(world, message);
});

let check: (message: Buffer) => SamlAssertion | null;

function verdict(world: SamlWorld, message: Buffer): SamlAssertion | null {
  try {
    return world.verify(message.toString('base64')).assertion;
  } catch (error) {
    if (error instanceof BrokerError && (error.code === 'assertion_rejected' || error.code === 'upstream_denied')) return null;
    throw error;
  }
}

/** A place in the message, as a fraction. Not `fc.double`: that draws its values evenly among the floating point numbers, nearly all tiny. */
const place = fc.integer({ min: 0, max: 99_999 }).map((share) => share / 100_000);

type Change = (message: Buffer) => Buffer;

const byteChanges: fc.Arbitrary<Change> = fc.oneof(
  fc
    .tuple(place, fc.integer({ min: 0, max: 7 }))
    .map(([at, bit]) => edited((bytes, index) => [(bytes[index] ?? 0) ^ (1 << bit)], at)),
  fc.tuple(place, fc.integer({ min: 0, max: 255 })).map(([at, byte]) => edited((bytes, index) => [byte, bytes[index] ?? 0], at)),
  place.map((at) => edited(() => [], at)),
);

function edited(replacement: (bytes: Buffer, index: number) => readonly number[], at: number): Change {
  return (bytes) => {
    const index = Math.floor(at * bytes.length);
    return Buffer.concat([bytes.subarray(0, index), Buffer.from(replacement(bytes, index)), bytes.subarray(index + 1)]);
  };
}

/** Pieces that attacks are made of, put anywhere. */
const pieces = [
  '<!---->',
  '<![CDATA[',
  ']]>',
  '&amp;',
  '&#x41;',
  ' ID="_x"',
  '<saml:Issuer>x</saml:Issuer>',
  ' xmlns:saml="urn:x"',
  ' xmlns="urn:x"',
  '\ufeff',
  '\u0000',
  ' ',
  '\n',
  '</saml:Assertion>',
  '<x/>',
];

const insertions: fc.Arbitrary<Change> = fc.tuple(place, fc.constantFrom(...pieces)).map(([at, piece]) => (bytes) => {
  const index = Math.floor(at * bytes.length);
  return Buffer.concat([bytes.subarray(0, index), Buffer.from(piece), bytes.subarray(index)]);
});

/** Elements, with all below them, are moved, copied, exchanged or turned evil: wrapping attacks come out of this by themselves. */
const nodeMoves: fc.Arbitrary<Change> = fc
  .tuple(place, place, fc.constantFrom('move', 'copy', 'evil', 'evil, new IDs', 'remove', 'wrap'), fc.boolean())
  .map(([from, to, kind, asChild]) => (bytes) => {
    const xml = bytes.toString();
    const spans = elementSpans(xml);
    const source = spans[Math.floor(from * spans.length)];
    const target = spans[Math.floor(to * spans.length)];
    if (source === undefined || target === undefined) return bytes;
    const piece = xml.slice(source.start, source.end);
    if (kind === 'remove') return Buffer.from(xml.slice(0, source.start) + xml.slice(source.end));
    if (kind === 'wrap')
      return Buffer.from(
        `${xml.slice(0, target.start)}${target.tag}${xml.slice(target.start, target.end)}${target.close}${xml.slice(target.end)}`,
      );
    const inserted = kind.startsWith('evil') ? evil(piece, kind === 'evil, new IDs') : piece;
    const at = asChild ? target.contentStart : target.start;
    const grown = xml.slice(0, at) + inserted + xml.slice(at);
    if (kind !== 'move') return Buffer.from(grown);
    const shift = at <= source.start ? inserted.length : 0;
    return Buffer.from(grown.slice(0, source.start + shift) + grown.slice(source.end + shift));
  });

/** Another person, under the same IDs or under others. */
function evil(xml: string, newIds: boolean): string {
  const other = xml.replaceAll('ada@', 'admin@').replaceAll('>builders<', '>admin<');
  return newIds ? other.replaceAll(/ ID="_/g, ' ID="_evil') : other;
}

interface Span {
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
  readonly tag: string;
  readonly close: string;
}

function elementSpans(xml: string): Span[] {
  const spans: Span[] = [];
  const open: { start: number; contentStart: number; tag: string }[] = [];
  for (const { 0: tag, index } of xml.matchAll(/<\/?[a-z]\w*(:\w+)?[^<>]*>/gi)) {
    if (!tag.startsWith('</')) open.push({ start: index, contentStart: index + tag.length, tag });
    const begun = tag.startsWith('</') || tag.endsWith('/>') ? open.pop() : undefined;
    if (begun !== undefined) spans.push({ ...begun, end: index + tag.length, close: tag });
  }
  return spans;
}

const runs = 2500;

it.each([
  ['bytes', byteChanges],
  ['insertions', insertions],
  ['moved nodes', nodeMoves],
] as const)(`no change of %s makes another identity (${runs} runs)`, (_, change) => {
  let refused = 0;
  let accepted = 0;
  fc.assert(
    fc.property(fc.constantFrom(...fixtures), fc.array(change, { minLength: 1, maxLength: 3 }), ({ xml, assertion }, changes) => {
      const read = check(changes.reduce<Buffer>((message, apply) => apply(message), Buffer.from(xml)));
      if (read === null) refused += 1;
      else accepted += 1;
      if (read !== null) expect(read).toEqual(assertion);
    }),
    { numRuns: runs },
  );
  // A fuzzer whose every message is refused, or none, would not look at anything.
  expect(refused).toBeGreaterThan(runs / 4);
  expect(accepted).toBeGreaterThan(0);
});

it('whatever bytes come, the outcome is a refusal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(check(Buffer.from(bytes))).toBeNull();
      expect(check(Buffer.concat([Buffer.from('<'), bytes]))).toBeNull();
    }),
    { numRuns: 500 },
  );
});
