/** A private key and a certificate for it, both PEM. */
export interface CertifiedKey {
  readonly privateKey: string;
  readonly certificate: string;
}

/** The certificate as XML signatures and metadata carry it: base64 of the DER, without the PEM lines. */
export function certificateContent(pem: string): string {
  return pem.replace(/-----[A-Z ]+-----|\s/g, '');
}
