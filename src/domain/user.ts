import type { Profile } from './federated-identity.ts';

/** A person, whatever number of workspaces and connections they use. */
export interface User extends Profile {
  readonly userId: string;
  readonly status: 'active' | 'archived';
}
