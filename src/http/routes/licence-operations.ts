import { z } from 'zod';
import { eventSchemas } from '../../outbox/event-schema.ts';
import { declareOperations } from '../api-schema.ts';
import { licenceInput } from './licence.ts';

const licenceSchema = eventSchemas['licence.changed'].shape.data.shape.licence
  .extend({ active_users: z.int() })
  .meta({ id: 'Licence', description: 'The licence in force.' });

export const licenceOperations = declareOperations('Licence', [
  { method: 'get', path: '/licence', summary: 'Read the licence in force', scope: 'instance', answers: { 200: licenceSchema } },
  {
    method: 'put',
    path: '/licence',
    summary: 'Set the licence',
    scope: 'instance',
    body: licenceInput,
    answers: { 200: licenceSchema },
    errors: ['conflict'],
  },
  {
    method: 'delete',
    path: '/licence',
    summary: 'Forget the licence that was set here',
    description: 'One from the environment or a file is in force again.',
    scope: 'instance',
    answers: { 200: licenceSchema },
  },
]);
