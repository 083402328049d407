import { BrokerError } from '../domain/broker-error.ts';

/** Why a SAML response was refused: stable, machine-readable, one for each cause. Grouped by the phase that finds it. */
export const rejectionReasons = [
  // limits and bytes
  'response_too_large',
  'base64_invalid',
  'encoding_not_allowed',
  'markup_not_allowed',
  'doctype_not_allowed',
  'processing_instruction_not_allowed',
  'xml_malformed',
  'xml_too_deep',
  'xml_too_many_elements',
  'xml_too_many_attributes',
  'xml_too_many_namespaces',
  'xml_too_much_work',
  'xml_namespace_relative',
  'xml_namespace_too_long',
  'byte_order_mark_not_allowed',
  // structure
  'not_a_response',
  'response_structure_invalid',
  'unexpected_content',
  'schema_location_not_allowed',
  'id_missing',
  'id_duplicate',
  'assertion_missing',
  'assertion_multiple',
  'signature_misplaced',
  // signatures, digests, schema
  'signature_missing',
  'signature_structure_invalid',
  'signature_reference_invalid',
  'signature_transform_not_allowed',
  'signature_canonicalization_not_allowed',
  'signature_algorithm_not_allowed',
  'digest_algorithm_not_allowed',
  'signature_invalid',
  'digest_mismatch',
  'schema_invalid',
  // encryption
  'decryption_key_missing',
  'encryption_algorithm_not_allowed',
  'encryption_cbc_unsigned',
  'decryption_failed',
  'encrypted_id_unsupported',
  'encrypted_attribute_unsupported',
  // checks
  'version_unsupported',
  'destination_missing',
  'destination_mismatch',
  'response_issuer_missing',
  'response_issuer_mismatch',
  'in_response_to_missing',
  'in_response_to_mismatch',
  'assertion_issuer_mismatch',
  'issued_in_future',
  'name_id_missing',
  'name_id_too_long',
  'name_id_qualifier_mismatch',
  'name_id_transient',
  'bearer_confirmation_missing',
  'recipient_missing',
  'recipient_mismatch',
  'confirmation_in_response_to_missing',
  'confirmation_in_response_to_mismatch',
  'confirmation_expiry_missing',
  'confirmation_expired',
  'confirmation_not_yet_valid',
  'conditions_missing',
  'conditions_times_missing',
  'conditions_times_contradictory',
  'conditions_expired',
  'conditions_not_yet_valid',
  'condition_unknown',
  'audience_missing',
  'audience_mismatch',
  'authn_statement_missing',
  'session_expired',
  'attribute_duplicate',
  'time_invalid',
] as const;

export type RejectionReason = (typeof rejectionReasons)[number];

/**
 * The error for an answer that is not accepted.
 * @param detail says what was wrong and where to look; carries no part of the assertion but names of systems
 */
export function rejected(reason: RejectionReason, detail: string, cause?: unknown): BrokerError {
  return new BrokerError('assertion_rejected', detail, { reason, cause });
}

/** A name of a system (entityID, address) as it may stand in a detail: printable, short, and nothing that could be an e-mail. */
export function shown(systemName: string): string {
  return /^[\x21-\x3f\x41-\x7e]{1,200}$/.test(systemName) ? `"${systemName}"` : 'something else';
}
