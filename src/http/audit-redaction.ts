/** Fields that open a door: their values never stand in the audit log. */
const secretField = /^(?:secret|secrets|key|token|password|licen[cs]e|.*_(?:secret|token|password|private_key))$/;

/** Fields that tell who a person is: the log outlives people, who may ask to be forgotten. A subject may be an address. */
const personalField = /^(?:email|(?:previous_)?subject)$/;
/** Names are personal where an address stands beside them. */
const nameField = /^(?:name|given_name|family_name)$/;

const hidden = '[redacted]';

/** A state as the audit log keeps it: ids, roles, groups, settings; neither secrets nor personal data. */
export function redacted(state: unknown): unknown {
  if (Array.isArray(state)) return state.map(redacted);
  if (typeof state !== 'object' || state === null) return state;
  const isPerson = Object.hasOwn(state, 'email');
  // `fromEntries` makes own properties of every name, `__proto__` too.
  return Object.fromEntries(
    Object.entries(state).map(([field, value]) => {
      const hides = secretField.test(field) || personalField.test(field) || (isPerson && nameField.test(field));
      return [field, hides && typeof value === 'string' ? hidden : redacted(value)];
    }),
  );
}
