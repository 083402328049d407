import { z } from 'zod';
import { declareOperations, idSchema, momentSchema } from '../api-schema.ts';

export const loginOperations = declareOperations('Logins', [
  {
    method: 'get',
    path: '/logins/{login_id}',
    summary: 'Read what happened at one login',
    description: 'The id is the reference that an error page shows.',
    answers: {
      200: z
        .strictObject({
          login_id: idSchema,
          connection_id: idSchema.nullable(),
          user_id: idSchema.nullable(),
          outcome: z.string().describe('`signed_in`, or the code of the refusal.'),
          reason: z.string().nullable(),
          detail: z.looseObject({}).describe('Protocol, checks that passed, and what each workspace made of the groups.'),
          occurred_at: momentSchema,
        })
        .meta({ id: 'LoginTrace' }),
    },
  },
]);
