import { constants, hash, type KeyObject, privateDecrypt } from 'node:crypto';

/** The hash of the label and the hash inside the mask generation function; XML Encryption lets them differ. */
export interface OaepHashes {
  readonly digest: OaepHash;
  readonly mgf: OaepHash;
}
export type OaepHash = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/**
 * RSAES-OAEP decryption (RFC 8017 7.1.2) with an empty label.
 * @throws when the ciphertext was not made with this key and these hashes; says nothing about why
 */
export function decryptOaep(ciphertext: Buffer, key: KeyObject, { digest, mgf }: OaepHashes): Buffer {
  // Node's `oaepHash` sets both hashes: the usual pair of XML Encryption 1.0 (SHA-256, MGF1 with SHA-1) needs the decoding below.
  if (digest === mgf) return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: digest }, ciphertext);
  return decodeOaep(privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, ciphertext), { digest, mgf });
}

/** EME-OAEP decoding. Every byte is looked at whatever the others say: what is wrong with a block, and where, must not show in time. */
function decodeOaep(block: Buffer, { digest, mgf }: OaepHashes): Buffer {
  const labelHash = hash(digest, '', 'buffer');
  const size = labelHash.length;
  if (block.length < 2 * size + 2) throw new Error('decryption failed');
  const maskedSeed = block.subarray(1, 1 + size);
  const maskedData = block.subarray(1 + size);
  const seed = xor(maskedSeed, generateMask(maskedData, size, mgf));
  const data = xor(maskedData, generateMask(seed, maskedData.length, mgf));

  // data = labelHash, zeros, 0x01, message
  let wrong = block.readUInt8(0);
  let messageAt = 0;
  let searching = 1;
  for (let at = 0; at < data.length; at += 1) {
    const byte = data.readUInt8(at);
    if (at < size) {
      wrong |= byte ^ labelHash.readUInt8(at);
      continue;
    }
    const isOne = Number(byte === 1);
    messageAt += searching * isOne * (at + 1);
    wrong |= searching * (1 - isOne) * byte;
    searching *= 1 - isOne;
  }
  if ((wrong | searching) !== 0) throw new Error('decryption failed');
  return data.subarray(messageAt);
}

/** MGF1 (RFC 8017 B.2.1). */
function generateMask(seed: Buffer, length: number, hashName: OaepHash): Buffer {
  const blocks: Buffer[] = [];
  for (let made = 0, counter = 0; made < length; counter += 1) {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(counter);
    const block = hash(hashName, Buffer.concat([seed, count]), 'buffer');
    blocks.push(block);
    made += block.length;
  }
  return Buffer.concat(blocks).subarray(0, length);
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, at) => byte ^ b.readUInt8(at)));
}
