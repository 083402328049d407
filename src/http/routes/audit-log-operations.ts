import { declareOperations, describes, pageSchema } from '../api-schema.ts';
import { auditEntrySchema, type auditEntryView, auditQuery } from './audit-log.ts';

describes<ReturnType<typeof auditEntryView>>()(auditEntrySchema);

export const auditLogOperations = declareOperations('Audit log', [
  {
    method: 'get',
    path: '/audit-log',
    summary: 'Read who changed what',
    description: "Newest first. A key of one workspace reads its workspace's entries only.",
    query: auditQuery,
    answers: { 200: pageSchema(auditEntrySchema) },
  },
]);
