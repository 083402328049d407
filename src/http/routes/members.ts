import { Router } from 'express';
import { z } from 'zod';
import type { MappingWarning, Reason } from '../../domain/membership.ts';
import { groupsForApp } from '../../domain/webhook-event.ts';
import type { Explanation, Member, MembershipStore } from '../../membership/store.ts';
import { idPageQuery, pageOf, parseQuery, pathId } from '../request-input.ts';
import type { FindWorkspace } from './workspace-scope.ts';

export interface MemberRouteDeps {
  readonly members: Pick<MembershipStore, 'list' | 'explain'>;
  readonly findWorkspace: FindWorkspace;
}

/** Members of one workspace, mounted below it. */
export function createMemberRoutes({ members, findWorkspace }: MemberRouteDeps): Router {
  const router = Router({ mergeParams: true });

  router.get('/', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const { limit, after } = parseQuery(listQuery, req);
    const rows = await members.list(workspaceId, { after: after ?? null, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ userId }) => userId, view: memberView }));
  });

  router.get('/:user_id', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const { member } = await members.explain(workspaceId, pathId(req, 'user_id'));
    res.json(memberView(member));
  });

  // R37.
  router.get('/:user_id/explain', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    res.json(explanationView(await members.explain(workspaceId, pathId(req, 'user_id'))));
  });

  return router;
}

const listQuery = z.strictObject(idPageQuery);

function memberView(member: Member) {
  return {
    user: { id: member.userId, email: member.email, name: member.name, status: member.userStatus },
    role: member.role,
    groups: groupsForApp(member.groups),
    status: member.status,
    version: member.version,
    updated_at: member.updatedAt.toISOString(),
  };
}

function explanationView({ member, reasons, warnings, login }: Explanation) {
  return {
    ...memberView(member),
    reasons: reasons.map(reasonView),
    warnings: warnings.map(warningView),
    login: {
      login_id: login.loginId,
      connection_id: login.connectionId,
      connection: login.connection,
      at: login.at.toISOString(),
    },
  };
}

function reasonView({ grant, idpGroup, via }: Reason) {
  return {
    grant: grant.kind === 'role' ? grant : { kind: grant.kind, id: grant.groupId, name: grant.name },
    idp_group: idpGroup,
    via: viaView(via),
  };
}

function viaView(via: Reason['via']) {
  switch (via.kind) {
    case 'rule':
      return { kind: via.kind, rule_index: via.ruleIndex, from: via.from, match: via.match, to: via.to };
    case 'group-requires':
      return { kind: via.kind, group: { id: via.groupId, name: via.name }, requires_role: via.requiresRole };
    case 'one-to-one':
    case 'fallback':
    case 'kept':
      return via;
    default:
      return via satisfies never;
  }
}

function warningView(warning: MappingWarning) {
  const { idpGroup, ...rest } = warning;
  return 'ruleIndex' in rest
    ? { kind: rest.kind, idp_group: idpGroup, target: rest.target, rule_index: rest.ruleIndex }
    : { ...rest, idp_group: idpGroup };
}
